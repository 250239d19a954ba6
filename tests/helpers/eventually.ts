/** What one try can add at most to the time that was waited: more means that the machine slept, or that we were stopped. */
const MAX_TRY_MS = 5_000;

/** How long and how often {@linkcode eventually} tries. */
export interface EventuallyOptions {
  /** Milliseconds after which the last failure is thrown; those in which this process was stopped do not count. */
  readonly deadlineMs?: number;
  /** Milliseconds between two tries. */
  readonly everyMs?: number;
  /** Looked at before each try: a reason to give up at once (a process that has died, say), else `null`. */
  readonly hopeless?: () => string | null;
}

/**
 * Tries `check` until it stops throwing, and gives its result. The only way in which the end-to-end tests wait for something.
 *
 * @throws the last failure of `check`, as the `cause` of an error that says how long was waited.
 */
export async function eventually<T>(
  what: string,
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<T> {
  const { deadlineMs = 20_000, everyMs = 25, hopeless = () => null } = options;
  let waitedMs = 0;
  let lastMs = performance.now();
  while (true) {
    const reason = hopeless();
    let failure: unknown;
    try {
      return await check();
    } catch (error) {
      failure = error;
    }
    const now = performance.now();
    waitedMs += Math.min(now - lastMs, MAX_TRY_MS);
    lastMs = now;
    if (reason !== null || waitedMs > deadlineMs) {
      const why = failure instanceof Error ? failure.message : String(failure);
      const waited = `after ${(waitedMs / 1000).toFixed(1)} s`;
      throw new Error(`${what}: not so ${waited}${reason === null ? "" : ` (${reason})`}\n${why}`, {
        cause: failure,
      });
    }
    await pause(everyMs);
  }
}

/** Lets `delayMs` pass: for stimuli ("a file that is written slowly"), never to wait for the program. */
export function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Calls back once `delayMs` have passed in which this process was not stopped; the returned function prevents it. */
export function afterRunning(delayMs: number, callback: () => void): () => void {
  const everyMs = Math.min(delayMs, 500);
  let leftMs = delayMs;
  const ticking = setInterval(() => {
    leftMs -= everyMs;
    if (leftMs > 0) return;
    clearInterval(ticking);
    callback();
  }, everyMs);
  return () => clearInterval(ticking);
}

/** Gives what `promise` gives, or fails once `deadlineMs` have passed. */
export async function within<T>(what: string, deadlineMs: number, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing after ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
