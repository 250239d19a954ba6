import { ScriptWriter } from "../chunks/script.ts";

/** Bytes that are given in one piece, at most. */
export const PIECE_BYTES = 256 * 1024;
/** Bytes given in a piece that copies too: few, so that the receiver can begin early. */
const SCRIPT_BYTES = 64 * 1024;
/** Bytes of the new file that one piece makes by copying, at most: what has to be made again when the base is not what it was. */
const COPIED_BYTES = 16 * 1024 * 1024;
/** Steps of one script, at most. */
const SCRIPT_STEPS = 4096;

/** The piece that is being filled: bytes that are given, and stretches that are copied from one base. */
export class Pieces {
  #open: ScriptWriter;
  /** Number of the base that the open piece copies from; -1 while it copies nothing. */
  #base = -1;

  /** Bytes that are given in one piece, and in one that copies too. */
  readonly #plainBytes: number;
  readonly #scriptBytes: number;

  /**
   * @param room Takes the bytes that are given; {@linkcode PIECE_BYTES} long.
   * @param limitBytes Bytes that one piece may give on this link, at most {@linkcode PIECE_BYTES}.
   */
  constructor(offset: number, room: Uint8Array, limitBytes: number) {
    this.#open = new ScriptWriter(offset, room);
    this.#plainBytes = limitBytes;
    this.#scriptBytes = Math.min(SCRIPT_BYTES, limitBytes);
  }

  get open(): ScriptWriter {
    return this.#open;
  }

  get base(): number {
    return this.#base;
  }

  /** Whether the open piece has to go before a stretch of `base` (-1: bytes that are given) can be added. */
  mustGoBefore(base: number): boolean {
    if (base < 0) return false;
    if (this.#base >= 0) return base !== this.#base;
    // What was collected without copies goes as it is: a script would have to be copied once more.
    return this.#open.literalBytes >= this.#scriptBytes;
  }

  /** Bytes that can be added to the open piece. */
  roomFor(base: number): number {
    if (base >= 0) return COPIED_BYTES - this.#open.length;
    return (this.#base >= 0 ? this.#scriptBytes : this.#plainBytes) - this.#open.literalBytes;
  }

  add(base: number, from: number, bytes: Uint8Array): void {
    if (base < 0) return this.#open.literal(bytes);
    this.#base = base;
    this.#open.copy(from, bytes.length);
  }

  get isFull(): boolean {
    const { literalBytes, length, steps } = this.#open;
    if (this.#base < 0) return literalBytes >= this.#plainBytes;
    return literalBytes >= this.#scriptBytes || length >= COPIED_BYTES || steps >= SCRIPT_STEPS;
  }

  /** The open piece was sent: the next one begins where it ends. */
  next(room: Uint8Array): void {
    this.#open = new ScriptWriter(this.#open.offset + this.#open.length, room);
    this.#base = -1;
  }
}
