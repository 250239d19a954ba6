/** What a frame costs beside its content, whatever its header's length: both sides must come to the same sum. */
export const FRAME_COST_BYTES = 512;

/** Pieces of large files leave this much of the window to small operations, but no more than a quarter of it. */
const RESERVE_BYTES = 1024 * 1024;

interface Waiting {
  readonly bytes: number;
  readonly reserve: number;
  readonly go: (waited: boolean) => void;
  readonly stop: (error: unknown) => void;
}

/**
 * The sender's side of the flow control: bytes that may still be sent before the receiver has taken earlier ones. So the
 * receiver's memory is bounded without ever stopping to read, which would hold back replies too.
 */
export class Credit {
  #available: number;
  readonly #reserve: number;
  #closed: unknown = null;
  #waiting: Waiting[] = [];

  /** @param windowBytes What the receiver's hello granted; `Infinity` for a link without the extension. */
  constructor(windowBytes: number) {
    this.#available = windowBytes;
    this.#reserve = Math.min(RESERVE_BYTES, windowBytes / 4);
  }

  /**
   * Takes the credit for one frame, waiting until it is there.
   *
   * @returns Whether it was waited for.
   */
  take(contentBytes: number, bulk: boolean): Promise<boolean> {
    const bytes = contentBytes + FRAME_COST_BYTES;
    const reserve = bulk ? this.#reserve : 0;
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (this.#available - bytes >= reserve && !this.#waiting.some((w) => w.reserve <= reserve)) {
      this.#available -= bytes;
      return Promise.resolve(false);
    }
    return new Promise((go, stop) => this.#waiting.push({ bytes, reserve, go, stop }));
  }

  /** The receiver has taken `bytes`. */
  grant(bytes: number): void {
    this.#available += bytes;
    // Small operations first, each kind in its order.
    for (const bulk of [false, true]) {
      for (const waiting of this.#waiting.filter((w) => (w.reserve > 0) === bulk)) {
        if (this.#available - waiting.bytes < waiting.reserve) break;
        this.#available -= waiting.bytes;
        this.#waiting = this.#waiting.filter((w) => w !== waiting);
        waiting.go(true);
      }
    }
  }

  close(error: unknown): void {
    this.#closed = error;
    for (const waiting of this.#waiting.splice(0)) waiting.stop(error);
  }
}
