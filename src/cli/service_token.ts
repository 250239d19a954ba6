import type { Actor } from "../auth/auth.ts";
import type { Store } from "../store/store.ts";
import { authOf } from "./gate.ts";
import type { Home } from "./home.ts";
import { removeSecret, writeSecret } from "./secret_file.ts";

/** What the service's token is called. */
const SERVICE_TOKEN = "service";

/** Makes the token that the service shows in place of a login, and keeps it in the home; the one before ends. */
export async function renewServiceToken(home: Home, store: Store, actor: Actor): Promise<void> {
  await endToken(home, store, actor);
  const [auth, { createToken }] = await Promise.all([authOf(home, store), import("../auth/tokens.ts")]);
  const wanted = { name: SERVICE_TOKEN, role: "operator", days: null } as const;
  await writeSecret(home.serviceTokenPath, createToken(auth, actor, wanted).secret);
}

/** Ends the service's token, if there is one. */
export async function forgetServiceToken(home: Home, store: Store, actor: Actor): Promise<void> {
  await endToken(home, store, actor);
  await removeSecret(home.serviceTokenPath);
}

/** Why the service would not be let in now, with the way out; `null` when it would be. */
export async function whyNotLetIn(home: Home, store: Store): Promise<string | null> {
  if (store.users.isEmpty()) return null;
  const { stateOf } = await import("../auth/tokens.ts");
  const token = store.tokens.byName(SERVICE_TOKEN);
  const state = token === null ? "missing" : stateOf(token, Date.now());
  if (state === "valid") return null;
  const again = home.command("service install --replace");
  return `this home has users, and the service's token is ${state}: it is made anew by  ${again}`;
}

async function endToken(home: Home, store: Store, actor: Actor): Promise<void> {
  const token = store.tokens.byName(SERVICE_TOKEN);
  if (token === null) return;
  const [auth, { revokeToken, stateOf }] = await Promise.all([
    authOf(home, store),
    import("../auth/tokens.ts"),
  ]);
  if (stateOf(token, Date.now()) === "valid") revokeToken(auth, actor, SERVICE_TOKEN);
}
