import { MirrorError } from "../domain/mirror_error.ts";
import type { Role } from "../domain/role.ts";
import type { Token } from "../store/tokens.ts";
import { type Actor, type Auth, whoOf } from "./auth.ts";
import { hashSecret, newSecret } from "./secrets.ts";

const DAY_MS = 86_400_000;
/** What tells a token from other secrets, for people and for programs that look for secrets in the wrong places. */
const PREFIX = "mirrorsync_";
/** A token's last use is written down no more often than this. */
const TOUCH_MS = 60_000;

/** How long a token counts when nothing else is said. */
export const DEFAULT_TOKEN_DAYS = 90;

/** What became of a token. */
export type TokenState = "valid" | "expired" | "revoked";

export function stateOf({ revokedMs, expiresMs }: Token, nowMs: number): TokenState {
  if (revokedMs !== null) return "revoked";
  return expiresMs !== null && nowMs >= expiresMs ? "expired" : "valid";
}

/**
 * Makes a token; its secret is in nothing but the answer.
 *
 * @param wanted `days`: after so many it ends; `null` for no end. `name`: `null` for one that is free.
 * @throws {MirrorError} `failed` when a token of that name counts, or when there are no users.
 */
export function createToken(
  { store, now, command }: Auth,
  actor: Actor,
  wanted: { readonly name: string | null; readonly role: Role; readonly days: number | null },
): { readonly token: Token; readonly secret: string } {
  const secret = PREFIX + newSecret();
  return store.transaction(() => {
    if (store.users.isEmpty()) {
      throw new MirrorError(
        "failed",
        `there are no users here, so no command asks for a token. The first user is made with  ${
          command("user add NAME")
        }`,
      );
    }
    const name = wanted.name ?? freeName((name) => store.tokens.byName(name) === null);
    const before = store.tokens.byName(name);
    if (before !== null && stateOf(before, now()) === "valid") {
      throw new MirrorError(
        "failed",
        `there is a token ${name} already: choose another --name, or revoke it with  ${
          command(`token revoke ${name}`)
        }`,
      );
    }
    // A token's tokens end with the user who made the first of them.
    const madeBy = actor.kind === "token" ? store.tokens.byName(actor.name!)?.madeBy : actor.name;
    const expiresMs = wanted.days === null ? null : now() + wanted.days * DAY_MS;
    const token = {
      ...{ name, hash: hashSecret(secret), role: wanted.role, madeBy: madeBy ?? "" },
      ...{ madeMs: now(), expiresMs, usedMs: null, revokedMs: null },
    };
    store.tokens.put(token);
    const until = expiresMs === null ? "without an end" : `until ${new Date(expiresMs).toISOString()}`;
    store.audit.record({
      ...{ atMs: now(), kind: "token_created", who: whoOf(actor), subject: name },
      detail: `with the role ${wanted.role}, ${until}`,
    });
    return { token, secret };
  });
}

function freeName(isFree: (name: string) => boolean): string {
  for (let i = 1;; i++) if (isFree(`token-${i}`)) return `token-${i}`;
}

/** Ends a token at once. @throws {MirrorError} `failed` when there is none of that name, or it has ended already. */
export function revokeToken({ store, now, command }: Auth, actor: Actor, name: string): Token {
  return store.transaction(() => {
    const token = store.tokens.byName(name);
    if (token === null) {
      throw new MirrorError("failed", `there is no token of that name: ${command("token list")}  lists them`);
    }
    if (token.revokedMs !== null) throw new MirrorError("failed", `${token.name} was revoked before`);
    store.tokens.revoke(token.name, now());
    store.audit.record({
      ...{ atMs: now(), kind: "token_revoked", who: whoOf(actor), subject: token.name, detail: "revoked" },
    });
    return { ...token, revokedMs: now() };
  });
}

/** Whose token a secret is. @throws {MirrorError} `not_logged_in` when it is none, or has ended; that is recorded. */
export function useToken({ store, now, command }: Auth, secret: string): Token {
  const token = store.tokens.byHash(hashSecret(secret));
  const state = token === null ? "unknown" : stateOf(token, now());
  if (token !== null && state === "valid") {
    if (token.usedMs === null || now() - token.usedMs > TOUCH_MS) {
      store.relaxedTransaction(() => store.tokens.touch(token.name, now()));
    }
    return token;
  }
  store.audit.recordOften({
    ...{ atMs: now(), kind: "token_refused", subject: token?.name ?? "(no such token)" },
    detail: state === "unknown" ? "a token that was never made here, or was made anew" : `it is ${state}`,
  });
  const what = token === null ? "is not known here" : `(${token.name}) is ${state}`;
  throw new MirrorError(
    "not_logged_in",
    `the token (of MIRRORSYNC_TOKEN or --token-file) ${what}: an admin makes a new one with  ${
      command("token create")
    }`,
  );
}
