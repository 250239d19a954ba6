import type { ByteSource } from "../wire/frame_reader.ts";
import type { Pace } from "../wire/pace.ts";

const EMPTY = new Uint8Array(0);

/**
 * The bytes of a connection at the rate at which they may be taken. Nothing more is read meanwhile, so the network holds the other
 * side back, whoever that is.
 */
export class PacedSource {
  readonly #source: ByteSource;
  readonly #pace: Pace;
  #rest: Uint8Array = EMPTY;
  #interrupt: () => void = () => {};

  constructor(source: ByteSource, pace: Pace) {
    this.#source = source;
    this.#pace = pace;
  }

  async read(): Promise<Uint8Array | null> {
    if (this.#rest.length === 0) {
      const bytes = await this.#source();
      if (bytes === null) return null;
      this.#rest = bytes;
    }
    await new Promise<void>((resolve) => {
      const cancel = this.#pace.wait(resolve);
      this.#interrupt = () => {
        cancel();
        resolve();
      };
    });
    const part = this.#rest.subarray(0, this.#pace.sliceBytes);
    this.#rest = this.#rest.subarray(part.length);
    this.#pace.took(part.length);
    return part;
  }

  /** The connection was closed: nobody waits any more, and what was not given yet is dropped. */
  stop(): void {
    this.#rest = EMPTY;
    this.#interrupt();
  }
}
