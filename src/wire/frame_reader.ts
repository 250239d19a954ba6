import { free } from "../domain/free.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { FRAME_OVERHEAD_BYTES, MAX_HEADER_BYTES } from "./frame.ts";

const EMPTY = new Uint8Array(0);

/** Gives the next bytes of a stream, `null` at its end. They belong to whoever asked: their memory is freed when nothing needs them. */
export type ByteSource = () => Promise<Uint8Array | null>;

/** What the source gave at once. */
interface Chunk {
  readonly bytes: Uint8Array;
  /** Who still needs its memory: the reader itself, and everybody who holds a part of it. */
  users: number;
}

/** A frame whose content has not been read yet. */
export interface FrameHead {
  /** Valid until the reader is asked for more. */
  readonly headerBytes: Uint8Array;
  readonly contentBytes: number;
}

/**
 * Takes frames off a byte stream. The caller reads a head, then all of the content in pieces of its choice (or skips it), then
 * the next head. Nothing is allocated for a length before it was found to be within its limit.
 */
export class FrameReader {
  readonly #source: ByteSource;
  readonly #maxHeaderBytes: number;
  #chunk: Chunk | null = null;
  /** What was not taken yet of the chunk. */
  #buffer: Uint8Array = EMPTY;
  #contentLeft = 0;
  #headBytes = 0;
  #insideFrame = false;
  #bytesRead = 0;

  /** @param maxHeaderBytes A longer header is refused; there is no reason to take more than the conversation needs. */
  constructor(source: ByteSource, maxHeaderBytes = MAX_HEADER_BYTES) {
    this.#source = source;
    this.#maxHeaderBytes = maxHeaderBytes;
  }

  /** Whether a frame has begun and not ended: the stream must not end or fall silent here. */
  get insideFrame(): boolean {
    return this.#insideFrame;
  }

  /** Bytes of the current frame beside its content: its header and the two lengths. */
  get headBytes(): number {
    return this.#headBytes;
  }

  /** Bytes taken from the stream so far. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Bytes of the current frame's content that were not read yet. */
  get contentLeft(): number {
    return this.#contentLeft;
  }

  /**
   * The next frame's head; `null` when the stream ended between frames.
   *
   * @throws {MirrorError} `bad_frame` for a length past its limit, `link_closed` when the stream ends inside the head.
   */
  async head(): Promise<FrameHead | null> {
    if (this.#contentLeft > 0) throw new Error("the content of the last frame was not taken");
    this.#insideFrame = false;
    if (this.#buffer.length === 0 && !await this.#fill()) return null;
    this.#insideFrame = true;
    const headerLength = length(await this.#exactly(8));
    if (headerLength === null || headerLength > this.#maxHeaderBytes) {
      throw new MirrorError("bad_frame", `a frame's header is longer than ${this.#maxHeaderBytes} bytes`);
    }
    let headerBytes = await this.#exactly(headerLength);
    // The length that follows comes with the next chunk, and this one goes.
    if (this.#buffer.length < 8) headerBytes = headerBytes.slice();
    this.#headBytes = FRAME_OVERHEAD_BYTES + headerLength;
    const contentBytes = length(await this.#exactly(8));
    if (contentBytes === null) throw new MirrorError("bad_frame", "a frame's content length is 2^53 or more");
    this.#contentLeft = contentBytes;
    if (contentBytes === 0) this.#insideFrame = false;
    return { headerBytes, contentBytes };
  }

  /**
   * The next piece of the content, at most `maxBytes`, as it comes; `null` when all of it was taken. It is valid until the reader is
   * asked for more.
   */
  async some(maxBytes: number): Promise<Uint8Array | null> {
    if (this.#contentLeft === 0) return null;
    if (this.#buffer.length === 0 && !await this.#fill()) throw endedInside();
    return this.#take(Math.min(maxBytes, this.#contentLeft, this.#buffer.length));
  }

  /** All that is left of the content, for as long as the caller likes. The caller has checked that so much may be held in memory. */
  async rest(): Promise<Uint8Array> {
    return (await this.lend()).bytes;
  }

  /** The same, for a caller that says when it is done with the bytes: they are gone then. */
  async lend(): Promise<{ readonly bytes: Uint8Array; readonly done: () => void }> {
    const chunk = this.#chunk;
    const isInChunk = chunk !== null && this.#buffer.length >= this.#contentLeft;
    if (isInChunk) chunk.users++;
    const bytes = await this.#exactly(this.#contentLeft);
    this.#contentLeft = 0;
    this.#insideFrame = false;
    return { bytes, done: () => isInChunk ? leave(chunk) : free(bytes) };
  }

  /** Drops what is left of the content. */
  async skip(): Promise<void> {
    while (await this.some(Number.MAX_SAFE_INTEGER) !== null);
  }

  #take(count: number): Uint8Array {
    const bytes = this.#buffer.subarray(0, count);
    this.#buffer = this.#buffer.subarray(count);
    this.#contentLeft -= count;
    if (this.#contentLeft === 0) this.#insideFrame = false;
    return bytes;
  }

  async #fill(): Promise<boolean> {
    for (;;) {
      const bytes = await this.#source();
      if (bytes === null) return false;
      this.#bytesRead += bytes.length;
      if (bytes.length === 0) continue;
      if (this.#chunk !== null) leave(this.#chunk);
      this.#chunk = { bytes, users: 1 };
      this.#buffer = bytes;
      return true;
    }
  }

  async #exactly(count: number): Promise<Uint8Array> {
    if (this.#buffer.length >= count) {
      const whole = this.#buffer.subarray(0, count);
      this.#buffer = this.#buffer.subarray(count);
      return whole;
    }
    const whole = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      if (this.#buffer.length === 0 && !await this.#fill()) throw endedInside();
      const part = this.#buffer.subarray(0, count - filled);
      whole.set(part, filled);
      filled += part.length;
      this.#buffer = this.#buffer.subarray(part.length);
    }
    return whole;
  }
}

function leave(chunk: Chunk): void {
  if (--chunk.users === 0) free(chunk.bytes);
}

function endedInside(): MirrorError {
  return new MirrorError("link_closed", "the link ended inside a frame");
}

/** Reads 8 bytes, big endian; `null` from 2^53 on, which no length may be. */
function length(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 8);
  const high = view.getUint32(0);
  return high >= 2 ** 21 ? null : high * 2 ** 32 + view.getUint32(4);
}
