import { hash } from "node:crypto";
import { type ChunkList, ChunkListBuilder } from "./chunk_list.ts";
import { cutAt, type Cutting } from "./gear.ts";

/** Takes what a {@linkcode Differ} finds, in the order of the content. The buffers are used again afterwards. */
export interface DiffSink {
  /** The same bytes are in the base, from `from` on. */
  copy(from: number, bytes: Uint8Array): Promise<void> | void;
  /** Bytes that are not. */
  literal(bytes: Uint8Array): Promise<void> | void;
}

/** Bytes that are taken in one go; more wait in the window. */
const ROOM_BYTES = 256 * 1024;

/**
 * Cuts content into chunks as it comes, and tells which of them a base has. Where one chunk of the base was found, the next one is
 * expected right after it: as long as that holds nothing is searched for cuts, only hashed.
 */
export class Differ {
  readonly #cutting: Cutting;
  readonly #base: ChunkList | null;
  readonly #sink: DiffSink;
  readonly #list: ChunkListBuilder;
  readonly #window: Uint8Array;
  #start = 0;
  #end = 0;
  /** The chunk of the base that is expected next; -1 when none is. */
  #expected = 0;

  constructor(cutting: Cutting, base: ChunkList | null, sink: DiffSink) {
    this.#cutting = cutting;
    this.#base = base;
    this.#sink = sink;
    this.#list = new ChunkListBuilder(cutting);
    this.#window = new Uint8Array(2 * cutting.maxBytes + ROOM_BYTES);
  }

  /** Takes the next bytes of the content. */
  async push(bytes: Uint8Array): Promise<void> {
    for (let taken = 0; taken < bytes.length;) {
      if (this.#start > this.#cutting.maxBytes) {
        this.#window.copyWithin(0, this.#start, this.#end);
        this.#end -= this.#start;
        this.#start = 0;
      }
      const part = bytes.subarray(taken, taken + this.#window.length - this.#end);
      this.#window.set(part, this.#end);
      this.#end += part.length;
      taken += part.length;
      while (this.#end - this.#start >= this.#cutting.maxBytes) await this.#chunk();
    }
  }

  /** The content has ended. Gives the list of its chunks. */
  async finish(): Promise<Uint8Array> {
    while (this.#end > this.#start) await this.#chunk();
    return this.#list.finish();
  }

  async #chunk(): Promise<void> {
    const base = this.#base;
    const expected = this.#expected;
    // The last chunk of the base ends where its file ended, not where a cut would be.
    if (base !== null && expected >= 0 && expected < base.count - 1) {
      const length = base.length(expected);
      const chunk = this.#window.subarray(this.#start, this.#start + length);
      if (length <= this.#end - this.#start) {
        const digest = hash("sha256", chunk, "buffer");
        if (base.has(expected, digest)) return await this.#found(expected, chunk, digest);
      }
    }
    const cut = cutAt(this.#window, this.#start, this.#end, this.#cutting);
    const chunk = this.#window.subarray(this.#start, cut);
    const digest = hash("sha256", chunk, "buffer");
    const index = base?.find(digest, chunk.length) ?? -1;
    if (index >= 0) return await this.#found(index, chunk, digest);
    this.#list.add(chunk.length, digest);
    this.#start = cut;
    this.#expected = -1;
    await this.#sink.literal(chunk);
  }

  async #found(index: number, chunk: Uint8Array, digest: Uint8Array): Promise<void> {
    this.#list.add(chunk.length, digest);
    this.#start += chunk.length;
    this.#expected = index + 1;
    await this.#sink.copy(this.#base!.offset(index), chunk);
  }
}
