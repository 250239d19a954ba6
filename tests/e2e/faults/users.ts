import type { Peer } from "../../helpers/program.ts";
import { Prng } from "../../simulation/prng.ts";
import { Churn } from "./churn.ts";

/** How the users of {@linkcode Users} work. */
export interface Habits {
  readonly seed: number | string;
  /** What a watched folder may hold; above it more is deleted than made. */
  readonly most: { readonly files: number; readonly bytes: number };
  /** The pause after each edit, on average. */
  readonly everyMs: number;
}

/** A user for each of some peers, who works in its watched folder until all of them rest; and may begin again. */
export class Users implements AsyncDisposable {
  readonly #churns: readonly Churn[];
  readonly #everyMs: number;
  #rest = new AbortController();
  #working: Promise<unknown> = Promise.resolve();

  constructor(peers: readonly Peer[], { seed, most, everyMs }: Habits) {
    this.#churns = peers.map(({ name, watched }) => new Churn(watched, new Prng(`${seed} ${name}`), most));
    this.#everyMs = everyMs;
  }

  /** What each has done so far. */
  get acts(): number[] {
    return this.#churns.map(({ acts }) => acts);
  }

  work(): void {
    this.#rest = new AbortController();
    this.#working = Promise.all(this.#churns.map((churn) => churn.keepOn(this.#everyMs, this.#rest.signal)));
    this.#working.catch(() => {}); // `rest` throws it
  }

  /** @throws whatever kept one of them from its work. */
  async rest(): Promise<void> {
    this.#rest.abort();
    await this.#working;
  }

  /** Before the folders go. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#rest.abort();
    await Promise.allSettled([this.#working]);
  }
}
