/** Bounds of an exponential backoff, in milliseconds. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/** For dialling a peer. */
export const DIAL_BACKOFF: Backoff = { firstMs: 250, maxMs: 30_000 };

/** For an operation that failed in a way that can mend itself. */
export const OPERATION_BACKOFF: Backoff = { firstMs: 1_000, maxMs: 300_000 };

/**
 * How long to wait before the next attempt: doubling from `firstMs` to `maxMs`, of which a random half is taken away, so that
 * peers that failed together do not come back together ("equal jitter"; M. Brooker, "Exponential Backoff and Jitter", AWS 2015).
 *
 * @param failures How many attempts have failed, at least 1.
 * @param unit A random number in [0, 1).
 */
export function retryDelayMs(backoff: Backoff, failures: number, unit: number): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full / 2 + unit * full / 2);
}
