import type { User } from "../store/users.ts";
import type { Auth } from "./auth.ts";
import { hashSecret, newSecret } from "./secrets.ts";

const HOUR_MS = 3_600_000;
/** A session ends after so long, whatever is done with it. */
export const SESSION_LIFE_MS = 12 * HOUR_MS;
/** It ends earlier when no command has used it for so long. */
export const SESSION_IDLE_MS = 2 * HOUR_MS;
/** Its last use is written down no more often than this. */
const TOUCH_MS = 60_000;

/** Begins a session; gives its secret. To be called inside a transaction. */
export function startSession({ store, now }: Auth, user: string): string {
  const secret = newSecret();
  store.sessions.prune(now() - SESSION_LIFE_MS);
  store.sessions.add({ hash: hashSecret(secret), user, startedMs: now() });
  return secret;
}

/** Whose session a secret is, or why it is none that counts. */
export function useSession({ store, now }: Auth, secret: string): User | "unknown" | "over" {
  const hash = hashSecret(secret);
  const session = store.sessions.get(hash);
  if (session === null) return "unknown";
  const [ageMs, idleMs] = [now() - session.startedMs, now() - session.usedMs];
  // One from the future was begun under another clock: nobody can say how old it is.
  if (ageMs >= SESSION_LIFE_MS || idleMs >= SESSION_IDLE_MS || ageMs < -TOUCH_MS) return "over";
  const user = store.users.get(session.user);
  if (user === null) return "unknown";
  if (idleMs > TOUCH_MS) store.relaxedTransaction(() => store.sessions.touch(hash, now()));
  return user;
}

/** Ends the session of a secret, if it is one. */
export function endSession({ store }: Auth, secret: string): void {
  store.sessions.remove(hashSecret(secret));
}
