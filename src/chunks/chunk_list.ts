import { crc32 } from "node:zlib";
import { type Cutting, cuttingOf, isAverage } from "./gear.ts";

/** The format, the binary logarithm of the average length, and two bytes that are zero. */
const HEAD_BYTES = 4;
/** Numbers of four bytes for each chunk. */
const ENTRY_WORDS = 3;
const FORMAT = 2;

/**
 * What a chunk is found by: the CRC-32 of the whole chunk and that of its first half (rounded down). That finds bytes and proves
 * nothing; what is built is checked against the SHA-256 of the file up to there (PROTOCOL.md, `piece`). The CRC costs a fifteenth of
 * what SHA-256 would (docs/BENCHMARKS.md), and two chunks of one length that are taken for each other cost one piece that is sent
 * twice.
 */
export interface ChunkMark {
  readonly crc: number;
  readonly halfCrc: number;
}

/** The mark of the chunk `bytes[start, end)`. */
export function markOf(bytes: Uint8Array, start: number, end: number): ChunkMark {
  const middle = start + ((end - start) >> 1);
  const halfCrc = crc32(bytes.subarray(start, middle));
  return { halfCrc, crc: crc32(bytes.subarray(middle, end), halfCrc) };
}

/**
 * The chunks of one version of a file, in their order, as they are kept in the database: a head of four bytes (the format, 2; the
 * binary logarithm of the average length; two zeros), then for each chunk three numbers of four bytes, little endian: its length,
 * and its {@linkcode ChunkMark}.
 */
export class ChunkList {
  readonly bytes: Uint8Array;
  readonly cutting: Cutting;
  readonly count: number;
  readonly #words: Uint32Array;
  /** Where each chunk begins, and the end of the last one. */
  readonly #offsets: Float64Array;
  /** By the CRC: index + 1 of a chunk; 0 for none. Made at the first search. */
  #slots: Int32Array | null = null;

  /** @returns `null` when the bytes are of another format, or damaged. */
  static parse(bytes: Uint8Array): ChunkList | null {
    const bits = bytes[1] ?? 0;
    const valid = bytes[0] === FORMAT && isAverage(bits) && bytes.length >= HEAD_BYTES &&
      (bytes.length - HEAD_BYTES) % (ENTRY_WORDS * 4) === 0;
    if (!valid) return null;
    const list = new ChunkList(bytes);
    return list.#isSound() ? list : null;
  }

  private constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    // A copy, so that it is aligned (`slice` of what came off a link may be none). All systems of the runtime are little endian.
    this.#words = new Uint32Array(new Uint8Array(bytes.subarray(HEAD_BYTES)).buffer);
    this.cutting = cuttingOf(bytes[1]!);
    this.count = this.#words.length / ENTRY_WORDS;
    this.#offsets = new Float64Array(this.count + 1);
    for (let i = 0; i < this.count; i++) {
      this.#offsets[i + 1] = this.#offsets[i]! + this.#words[i * ENTRY_WORDS]!;
    }
  }

  /** A list can come from a peer: no chunk may be longer than the cutting allows, or empty. */
  #isSound(): boolean {
    const { maxBytes } = this.cutting;
    for (let i = 0; i < this.#words.length; i += ENTRY_WORDS) {
      const length = this.#words[i]!;
      if (length === 0 || length > maxBytes) return false;
    }
    return true;
  }

  /** Bytes of the whole file. */
  get sizeBytes(): number {
    return this.#offsets[this.count]!;
  }

  offset(index: number): number {
    return this.#offsets[index]!;
  }

  length(index: number): number {
    return this.#words[index * ENTRY_WORDS]!;
  }

  mark(index: number): ChunkMark {
    const at = index * ENTRY_WORDS;
    return { crc: this.#words[at + 1]!, halfCrc: this.#words[at + 2]! };
  }

  /** Whether a chunk has this mark. */
  has(index: number, mark: ChunkMark): boolean {
    const at = index * ENTRY_WORDS;
    return this.#words[at + 1] === mark.crc && this.#words[at + 2] === mark.halfCrc;
  }

  /** A chunk of this mark and length; -1 when there is none. */
  find(mark: ChunkMark, length: number): number {
    const slots = this.#slots ??= this.#index();
    for (let slot = mark.crc & (slots.length - 1);; slot = (slot + 1) & (slots.length - 1)) {
      const index = slots[slot]! - 1;
      if (index < 0) return -1;
      if (this.length(index) === length && this.has(index, mark)) return index;
    }
  }

  #index(): Int32Array {
    const slots = new Int32Array(Math.max(16, 2 ** Math.ceil(Math.log2(this.count * 2 + 1))));
    const words = this.#words;
    for (let i = 0; i < this.count; i++) {
      const at = i * ENTRY_WORDS;
      let slot = words[at + 1]! & (slots.length - 1);
      // A chunk that comes many times is found at its first place.
      for (; slots[slot] !== 0; slot = (slot + 1) & (slots.length - 1)) {
        const other = (slots[slot]! - 1) * ENTRY_WORDS;
        if (
          words[other] === words[at] && words[other + 1] === words[at + 1] &&
          words[other + 2] === words[at + 2]
        ) break;
      }
      if (slots[slot] === 0) slots[slot] = i + 1;
    }
    return slots;
  }
}

/**
 * The longest list that is made, 6 MB: a file that is cut as finely as a much smaller one that it is like (a log file that has grown
 * a thousandfold) would have an endless one.
 */
const MAX_CHUNKS = 2 ** 19;

/** Collects a {@linkcode ChunkList} while a file is read. */
export class ChunkListBuilder {
  readonly #averageBits: number;
  /** `null` when there are too many. */
  #words: Uint32Array | null;
  #length = 0;

  /** @param sizeBytes About what will come, so that the list need not be moved to a larger place again and again. */
  constructor(cutting: Cutting, sizeBytes: number) {
    this.#averageBits = cutting.averageBits;
    const count = Math.ceil(sizeBytes / 2 ** cutting.averageBits) + 64;
    this.#words = count > MAX_CHUNKS ? null : new Uint32Array(count * ENTRY_WORDS);
  }

  add(length: number, mark: ChunkMark): void {
    let words = this.#words;
    if (words === null) return;
    if (this.#length === words.length) {
      if (this.#length >= MAX_CHUNKS * ENTRY_WORDS) {
        this.#words = null;
        return;
      }
      const larger = new Uint32Array(words.length * 2);
      larger.set(words);
      this.#words = words = larger;
    }
    words[this.#length++] = length;
    words[this.#length++] = mark.crc;
    words[this.#length++] = mark.halfCrc;
  }

  /** `null` when the list would be too long. */
  finish(): Uint8Array | null {
    if (this.#words === null) return null;
    const bytes = new Uint8Array(HEAD_BYTES + this.#length * 4);
    bytes.set([FORMAT, this.#averageBits]);
    bytes.set(new Uint8Array(this.#words.buffer, 0, this.#length * 4), HEAD_BYTES);
    return bytes;
  }
}
