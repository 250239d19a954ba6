import type { Clock } from "./ports.ts";

/** How long work may keep the control thread before others get their turn. */
const SLICE_MS = 8;
/** The longest rest between two slices. */
const MAX_REST_MS = 20;

/** Gives others their turn at least every few milliseconds. */
export class Slices {
  readonly #clock: Clock;
  readonly #share: () => number;
  #start: number;

  /** @param share How many times as long as a slice others get before the next one: a link that is being used needs many turns. */
  constructor(clock: Clock, share: () => number = () => 0) {
    this.#clock = clock;
    this.#share = share;
    this.#start = clock.monotonic();
  }

  get over(): boolean {
    return this.#clock.monotonic() - this.#start > SLICE_MS;
  }

  async rest(): Promise<void> {
    const tookMs = this.#clock.monotonic() - this.#start;
    const restMs = Math.min(tookMs * this.#share(), MAX_REST_MS);
    await new Promise<void>((resolve) => this.#clock.after(restMs, resolve));
    this.#start = this.#clock.monotonic();
  }
}
