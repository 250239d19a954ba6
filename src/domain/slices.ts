import type { Clock } from "./ports.ts";

/** How long work may keep the control thread before others get their turn. */
const SLICE_MS = 8;
/** The longest rest between two slices. */
const MAX_REST_MS = 20;

/** Gives others their turn at least every few milliseconds. */
export class Slices {
  readonly #clock: Clock;
  readonly #yields: () => boolean;
  #start: number;

  /** @param yields Whether others get as much of the time as the slices do: a link that is being used needs many turns. */
  constructor(clock: Clock, yields: () => boolean = () => false) {
    this.#clock = clock;
    this.#yields = yields;
    this.#start = clock.monotonic();
  }

  get over(): boolean {
    return this.#clock.monotonic() - this.#start > SLICE_MS;
  }

  async rest(): Promise<void> {
    const tookMs = this.#clock.monotonic() - this.#start;
    const restMs = this.#yields() ? Math.min(tookMs, MAX_REST_MS) : 0;
    await new Promise<void>((resolve) => this.#clock.after(restMs, resolve));
    this.#start = this.#clock.monotonic();
  }
}
