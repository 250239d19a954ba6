import type { Actor, Auth } from "../auth/auth.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Role } from "../domain/role.ts";
import type { Store } from "../store/store.ts";
import { exists, type Home } from "./home.ts";
import { readSecret } from "./secret_file.ts";
import { readSession } from "./session_file.ts";

/** The variable from which an automation's token is read. */
export const TOKEN_VARIABLE = "MIRRORSYNC_TOKEN";

/** What the functions of `auth/` need, for a home. */
export async function authOf(home: Home, store: Store): Promise<Auth> {
  const { Passwords } = await import("../auth/passwords.ts");
  return { store, passwords: new Passwords(), now: Date.now, command: (text) => home.command(text) };
}

/**
 * Finds out who runs a command, and refuses whoever may not. A home without users is open to whoever owns its files.
 *
 * @param command The command as it was typed, without its arguments.
 * @param tokenFile A file that a token is read from when the environment has none.
 * @throws {MirrorError} `not_logged_in`, `not_allowed`, or what is wrong with the database or that file.
 */
export async function admitTo(
  home: Home,
  needed: Role,
  command: string,
  env: (name: string) => string | undefined,
  tokenFile: string | null,
): Promise<Actor> {
  const owner: Actor = { kind: "owner", name: null, role: "admin" };
  if (!await exists(home.databasePath)) return owner;
  using store = home.openStore();
  if (store.users.isEmpty()) return owner; // what follows takes a moment to load
  const { admit } = await import("../auth/admission.ts");
  return await admit(await authOf(home, store), needed, command, {
    token: env(TOKEN_VARIABLE) || (tokenFile === null ? null : await readTokenFile(home, tokenFile)),
    session: () => readSession(home),
  });
}

/** The token in a file that was named for it: one that is not there, or empty, is no reason to look for a session instead. */
async function readTokenFile(home: Home, path: string): Promise<string> {
  const token = await readSecret(path, home.command("token revoke NAME"));
  if (token !== null) return token;
  throw new MirrorError(
    "not_logged_in",
    `there is no token in ${path}: make one with  ${home.command("token create")}  and put it there`,
  );
}
