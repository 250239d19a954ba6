import type { Clock } from "./ports.ts";

/** How long work may keep the control thread before others get their turn. */
const SLICE_MS = 8;
/** The longest rest between two slices. */
const MAX_REST_MS = 20;
/**
 * How long work may go on with rests in which no time passes. As long as something is due at once, the runtime does not wait for the
 * system, and asks it what sockets and watchers have only now and then: every 61st turn (`event_interval` of tokio's scheduler for one
 * thread), which is half a second of slices.
 */
const MAX_BUSY_MS = 16;
/** The shortest time that passes. */
const PAUSE_MS = 1;

/** Gives others their turn at least every few milliseconds. */
export class Slices {
  readonly #clock: Clock;
  readonly #share: () => number;
  #start: number;
  /** When the runtime last had nothing to do, as far as is known here. */
  #idleAt: number;

  /** @param share How many times as long as a slice others get before the next one: a link that is being used needs many turns. */
  constructor(clock: Clock, share: () => number = () => 0) {
    this.#clock = clock;
    this.#share = share;
    this.#start = this.#idleAt = clock.monotonic();
  }

  /** Whoever works has waited for the system: others had all the time they wanted. */
  waited(): void {
    this.#start = this.#idleAt = this.#clock.monotonic();
  }

  get over(): boolean {
    return this.#clock.monotonic() - this.#start > SLICE_MS;
  }

  async rest(): Promise<void> {
    const now = this.#clock.monotonic();
    const leastMs = now - this.#idleAt > MAX_BUSY_MS ? PAUSE_MS : 0;
    const restMs = Math.max(leastMs, Math.min((now - this.#start) * this.#share(), MAX_REST_MS));
    await new Promise<void>((resolve) => this.#clock.after(restMs, resolve));
    this.#start = this.#clock.monotonic();
    if (restMs > 0) this.#idleAt = this.#start;
  }
}
