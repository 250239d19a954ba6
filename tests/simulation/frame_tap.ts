type State = "headerLength" | "header" | "contentLength" | "content";

/** One frame's header, as it was written. */
export type TappedHeader = Readonly<Record<string, unknown>>;

/**
 * Reads along what one side of a connection writes: tells of each frame, and can change a byte of a content, as bad memory would
 * behind the encryption.
 */
export class FrameTap {
  readonly #onFrame: (header: TappedHeader) => void;
  #pending: number[] = [];
  #state: State = "headerLength";
  #left = 8;
  #bearsContent = false;
  #header: TappedHeader = {};

  constructor(onFrame: (header: TappedHeader) => void) {
    this.#onFrame = onFrame;
  }

  /** @param spoil Whether a byte of the next content is to be changed; returns whether it was. `bytes` must be the caller's own. */
  pass(bytes: Uint8Array, spoil: boolean): boolean {
    let spoilt = false;
    for (let at = 0; at < bytes.length;) {
      if (this.#state === "content") {
        const count = Math.min(this.#left, bytes.length - at);
        if (spoil && !spoilt && this.#bearsContent && count > 0) {
          bytes[at + (count >> 1)]! ^= 0x20;
          spoilt = true;
        }
        at += count;
        this.#left -= count;
      } else {
        this.#pending.push(bytes[at++]!);
        this.#left--;
      }
      if (this.#left === 0) this.#next();
    }
    return spoilt;
  }

  #next(): void {
    const taken = Uint8Array.from(this.#pending.splice(0));
    switch (this.#state) {
      case "headerLength":
        this.#enter("header", lengthIn(taken));
        return;
      case "header":
        this.#header = JSON.parse(new TextDecoder().decode(taken)) as TappedHeader;
        this.#enter("contentLength", 8);
        return;
      case "contentLength":
        this.#bearsContent = "path" in this.#header && "action" in this.#header;
        this.#onFrame(this.#header);
        this.#enter("content", lengthIn(taken));
        return;
      case "content":
        this.#enter("headerLength", 8);
    }
  }

  #enter(state: State, left: number): void {
    this.#state = state;
    this.#left = left;
    if (left === 0) this.#next();
  }
}

function lengthIn(bytes: Uint8Array): number {
  return Number(new DataView(bytes.buffer).getBigUint64(0));
}
