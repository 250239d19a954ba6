import { MirrorError } from "../domain/mirror_error.ts";
import type { LoginFailures } from "../store/login_failures.ts";
import type { Store } from "../store/store.ts";

/** How wrong tries are slowed down. */
export interface Slowdown {
  /** So many may follow each other at once. */
  readonly free: number;
  /** No wait is longer: the owner is never locked out. */
  readonly maxWaitMs: number;
  /** After so long without a wrong try all is forgotten. */
  readonly forgetMs: number;
}

const HOUR_MS = 3_600_000;
/** For one name: 288 tries a day at most. */
export const PER_NAME: Slowdown = { free: 3, maxWaitMs: 300_000, forgetMs: 24 * HOUR_MS };
/** For all names together: so a guesser wins nothing by taking turns. */
export const OVERALL: Slowdown = { free: 20, maxWaitMs: 30_000, forgetMs: HOUR_MS };
/** The row that counts for all names. */
const ALL = "";

/** When the next try may be made: at once for the first ones, then after 1 s, 2 s, 4 s and so on since the last. */
export function waitMs(tries: LoginFailures | null, nowMs: number, slowdown: Slowdown): number {
  if (tries === null) return 0;
  const sinceMs = nowMs - tries.lastMs;
  if (tries.failures < slowdown.free || sinceMs >= slowdown.forgetMs) return 0;
  const delayMs = Math.min(slowdown.maxWaitMs, 1000 * 2 ** (tries.failures - slowdown.free));
  // A clock that was set back must not make the wait longer.
  return Math.max(0, Math.min(delayMs, delayMs - sinceMs));
}

/**
 * Begins a try to log in. It is counted as a wrong one before the password is looked at, in one transaction with the question
 * whether it may be made: so processes that guess side by side have no more tries than one alone.
 *
 * @throws {MirrorError} `login_throttled` saying how long to wait; the try is not counted then.
 */
export function beginTry(store: Store, name: string, nowMs: number): void {
  store.transaction(() => {
    const keys = [[name.toLowerCase(), PER_NAME], [ALL, OVERALL]] as const;
    const found = keys.map(([key, slowdown]) => ({ key, slowdown, tries: store.loginFailures.get(key) }));
    const wait = Math.max(...found.map(({ tries, slowdown }) => waitMs(tries, nowMs, slowdown)));
    if (wait > 0) {
      const seconds = Math.ceil(wait / 1000);
      throw new MirrorError(
        "login_throttled",
        `too many wrong tries: wait ${seconds} s, then try again (this one was not looked at)`,
      );
    }
    for (const { key, slowdown, tries } of found) {
      const forgotten = tries === null || nowMs - tries.lastMs >= slowdown.forgetMs;
      store.loginFailures.put(key, { failures: (forgotten ? 0 : tries.failures) + 1, lastMs: nowMs });
    }
  });
}

/** The try that {@linkcode beginTry} began was right. To be called inside a transaction. */
export function endTry(store: Store, name: string): void {
  store.loginFailures.remove(name.toLowerCase());
  const all = store.loginFailures.get(ALL);
  if (all !== null) store.loginFailures.put(ALL, { ...all, failures: Math.max(0, all.failures - 1) });
}
