import { clearImmediate, setImmediate } from "node:timers";
import type { Clock } from "../domain/ports.ts";

/** The computer's own clock and timers. */
export class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): () => void {
    // A timer of 0 ms waits for at least one; whoever only wants to let others go first should not lose that.
    if (delayMs <= 0) {
      const immediate = setImmediate(callback);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  }
}
