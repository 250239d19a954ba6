/** A whole frame, taken apart. */
export interface WholeFrame {
  readonly header: Uint8Array;
  readonly content: Uint8Array;
  /** The frame as it travels. */
  readonly bytes: Uint8Array;
}

/** Cuts what one side writes into its frames. It believes what it is given: it comes from our own writer. */
export class FrameSplitter {
  #rest = new Uint8Array(0);

  /** Takes the next bytes, and gives the frames that have become whole. */
  push(bytes: Uint8Array): WholeFrame[] {
    const all = new Uint8Array(this.#rest.length + bytes.length);
    all.set(this.#rest);
    all.set(bytes, this.#rest.length);
    const view = new DataView(all.buffer);
    const found: WholeFrame[] = [];
    let at = 0;
    while (all.length - at >= 16) {
      const headerEnd = at + 8 + Number(view.getBigUint64(at));
      if (all.length < headerEnd + 8) break;
      const end = headerEnd + 8 + Number(view.getBigUint64(headerEnd));
      if (all.length < end) break;
      found.push({
        header: all.slice(at + 8, headerEnd),
        content: all.slice(headerEnd + 8, end),
        bytes: all.slice(at, end),
      });
      at = end;
    }
    this.#rest = all.slice(at);
    return found;
  }
}
