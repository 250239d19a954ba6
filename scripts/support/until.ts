/** Waits without holding up anything else. */
export function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** What was waited for did not come in time. */
export class DeadlineError extends Error {
  override name = "DeadlineError";
}

/** How {@linkcode until} waits. */
export interface UntilOptions {
  /** Milliseconds between two looks; 1 unless told. */
  everyMs?: number;
  /** Milliseconds after which waiting is given up; 30,000 unless told. */
  deadlineMs?: number;
  /** Called at each look; throws to give up early (a peer has died, Ctrl-C). */
  check?: () => void;
}

/**
 * Looks again and again until `done` says so, and tells how long that took since `sinceMs` (of `performance.now()`).
 *
 * @throws {DeadlineError} naming `what`, when it takes too long.
 */
export async function until(
  what: string,
  done: () => boolean,
  { everyMs = 1, deadlineMs = 30_000, check }: UntilOptions = {},
  sinceMs = performance.now(),
): Promise<number> {
  const start = performance.now();
  while (!done()) {
    check?.();
    if (performance.now() - start > deadlineMs) {
      throw new DeadlineError(`waited ${Math.round(deadlineMs / 1000)} s in vain for ${what}`);
    }
    await sleep(everyMs);
  }
  return performance.now() - sinceMs;
}
