import { clearImmediate, setImmediate } from "node:timers";
import type { Clock } from "../domain/ports.ts";

/**
 * As long as there is an immediate to be run the runtime does not wait for the system, and asks it what sockets and the watcher have only
 * every 61st turn (`event_interval` of tokio's scheduler for one thread): with turns of 8 ms, half a second. So one that comes this long
 * after the last timer is a timer itself.
 */
const MAX_BUSY_MS = 16;

/** The computer's own clock and timers. */
export class SystemClock implements Clock {
  /** When a timer last went off: the runtime had nothing to do before. */
  #idleAt = 0;

  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(delayMs: number, callback: () => void): () => void {
    // A timer of 0 ms waits for at least one; whoever only wants to let others go first should not lose that.
    if (delayMs <= 0 && this.monotonic() - this.#idleAt < MAX_BUSY_MS) {
      const immediate = setImmediate(callback);
      return () => clearImmediate(immediate);
    }
    const timer = setTimeout(() => {
      this.#idleAt = this.monotonic();
      callback();
    }, delayMs);
    return () => clearTimeout(timer);
  }
}
