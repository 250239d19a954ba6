import type { Pace } from "../wire/pace.ts";

/** Two paces at once: what goes has to be allowed by both, and counts for both. */
export class JointPace implements Pace {
  readonly bytesPerSecond: number;
  readonly sliceBytes: number;
  readonly #own: Pace;
  readonly #shared: Pace;

  /** @param shared The one that others wait for too: asked last, so that its turn is used when it comes. */
  constructor(own: Pace, shared: Pace) {
    this.bytesPerSecond = Math.min(own.bytesPerSecond, shared.bytesPerSecond);
    this.sliceBytes = Math.min(own.sliceBytes, shared.sliceBytes);
    this.#own = own;
    this.#shared = shared;
  }

  get isOpen(): boolean {
    return this.#own.isOpen && this.#shared.isOpen;
  }

  wait(go: () => void): () => void {
    let cancelled = false;
    let cancelShared = () => {};
    const cancelOwn = this.#own.wait(() => {
      if (!cancelled) cancelShared = this.#shared.wait(go);
    });
    return () => {
      cancelled = true;
      cancelOwn();
      cancelShared();
    };
  }

  took(bytes: number): void {
    this.#own.took(bytes);
    this.#shared.took(bytes);
  }
}
