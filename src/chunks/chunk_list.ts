import { crc32 } from "node:zlib";
import { type Cutting, cuttingOf, isAverage } from "./gear.ts";

/** The format, the binary logarithm of the average length, and two bytes that are zero. */
const HEAD_BYTES = 4;
const FORMAT = 3;
/** Bytes of a number in a list. */
const WORD_BYTES = 4;
/** From this average on, as a power of two, chunks have eight parts instead of four: there a part is most of what has to travel. */
const MANY_PARTS_BITS = 13;

/**
 * What a chunk is found by: the CRC-32 of all of it, and before that those up to the end of each of its parts but the last. That finds
 * bytes and proves nothing; what is built is checked against the SHA-256 of the file up to there (PROTOCOL.md, `piece`). The CRC costs
 * a fifteenth of what SHA-256 would (docs/BENCHMARKS.md), and two chunks of one length that are taken for each other cost one piece
 * that is sent twice. As each number goes on from the one before, it also tells whether its part alone is the same (`refine.ts`).
 */
export type ChunkMark = readonly number[];

/** Parts of a chunk that have a number each: four, or eight of a chunk that is cut with an average of 8 KiB or more. */
export function partsOf({ averageBits }: Cutting): number {
  return averageBits < MANY_PARTS_BITS ? 4 : 8;
}

/** Where a part begins in a chunk of so many bytes; that after the last one, where the chunk ends. */
export function partStart(length: number, part: number, parts: number): number {
  return Math.floor(length * part / parts);
}

/** The mark of the chunk `bytes[start, end)`. */
export function markOf(bytes: Uint8Array, start: number, end: number, parts: number): ChunkMark {
  const mark: number[] = [];
  let from = start, crc = 0;
  for (let part = 1; part <= parts; part++) {
    const to = start + partStart(end - start, part, parts);
    mark.push(crc = crc32(bytes.subarray(from, to), crc));
    from = to;
  }
  return mark;
}

/** The CRC-32 by which a chunk is looked up: that of all of it. */
export function crcOf(mark: ChunkMark): number {
  return mark[mark.length - 1]!;
}

/**
 * The chunks of one version of a file, in their order, as they are kept in the database: a head of four bytes (the format, 3; the
 * binary logarithm of the average length; two zeros), then for each chunk numbers of four bytes, little endian: its length, and its
 * {@linkcode ChunkMark}.
 */
export class ChunkList {
  readonly bytes: Uint8Array;
  readonly cutting: Cutting;
  readonly count: number;
  /** Parts of each chunk that have a number. */
  readonly parts: number;
  /** Numbers for each chunk. */
  readonly #entry: number;
  readonly #words: Uint32Array;
  /** Where each chunk begins, and the end of the last one. */
  readonly #offsets: Float64Array;
  /** By the CRC: index + 1 of a chunk; 0 for none. Made at the first search. */
  #slots: Int32Array | null = null;

  /** @returns `null` when the bytes are of another format, or damaged. */
  static parse(bytes: Uint8Array): ChunkList | null {
    const bits = bytes[1] ?? 0;
    const valid = bytes[0] === FORMAT && isAverage(bits) && bytes.length >= HEAD_BYTES &&
      (bytes.length - HEAD_BYTES) % (WORD_BYTES * (1 + partsOf(cuttingOf(bits)))) === 0;
    if (!valid) return null;
    const list = new ChunkList(bytes);
    return list.#isSound() ? list : null;
  }

  private constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    // What came off a link need not be aligned. All systems of the runtime are little endian.
    const body = bytes.byteOffset % WORD_BYTES === 0
      ? bytes.subarray(HEAD_BYTES)
      : new Uint8Array(bytes.subarray(HEAD_BYTES));
    this.#words = new Uint32Array(body.buffer, body.byteOffset, body.length / WORD_BYTES);
    this.cutting = cuttingOf(bytes[1]!);
    this.parts = partsOf(this.cutting);
    this.#entry = 1 + this.parts;
    this.count = this.#words.length / this.#entry;
    this.#offsets = new Float64Array(this.count + 1);
    for (let i = 0; i < this.count; i++) {
      this.#offsets[i + 1] = this.#offsets[i]! + this.length(i);
    }
  }

  /** A list can come from a peer: no chunk may be longer than the cutting allows, or empty. */
  #isSound(): boolean {
    const { maxBytes } = this.cutting;
    for (let i = 0; i < this.count; i++) {
      const length = this.length(i);
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
    return this.#words[index * this.#entry]!;
  }

  mark(index: number): ChunkMark {
    return [...this.#words.subarray(index * this.#entry + 1, (index + 1) * this.#entry)];
  }

  /** The CRC-32 of a chunk from its start to where a part begins. */
  crcBefore(index: number, part: number): number {
    return part === 0 ? 0 : this.#words[index * this.#entry + part]!;
  }

  /** The first chunk that begins at `offset` or after it. */
  indexFrom(offset: number): number {
    let low = 0, high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#offsets[middle]! < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether a chunk has this mark. */
  has(index: number, mark: ChunkMark): boolean {
    const at = index * this.#entry + 1;
    // The last one tells most.
    let part = this.parts - 1;
    while (part >= 0 && this.#words[at + part] === mark[part]) part--;
    return part < 0;
  }

  /** A chunk of this mark and length; -1 when there is none. */
  find(mark: ChunkMark, length: number): number {
    const slots = this.#slots ??= this.#index();
    for (let slot = crcOf(mark) & (slots.length - 1);; slot = (slot + 1) & (slots.length - 1)) {
      const index = slots[slot]! - 1;
      if (index < 0) return -1;
      if (this.length(index) === length && this.has(index, mark)) return index;
    }
  }

  #index(): Int32Array {
    const slots = new Int32Array(Math.max(16, 2 ** Math.ceil(Math.log2(this.count * 2 + 1))));
    const words = this.#words, entry = this.#entry;
    for (let i = 0; i < this.count; i++) {
      const at = i * entry;
      let slot = words[at + this.parts]! & (slots.length - 1);
      // A chunk that comes many times is found at its first place.
      for (; slots[slot] !== 0; slot = (slot + 1) & (slots.length - 1)) {
        const other = (slots[slot]! - 1) * entry;
        let same = 0;
        while (same < entry && words[other + same] === words[at + same]) same++;
        if (same === entry) break;
      }
      if (slots[slot] === 0) slots[slot] = i + 1;
    }
    return slots;
  }
}

/**
 * The most chunks that a list has (in 10 or 19 MB): a file that is cut as finely as a much smaller one that it is like (a log file that
 * has grown a thousandfold) would have an endless one.
 */
const MAX_CHUNKS = 2 ** 19;

/** Collects a {@linkcode ChunkList} while a file is read. */
export class ChunkListBuilder {
  /** Parts of each chunk that have a number. */
  readonly parts: number;
  /** The head, and what is known of the chunks; `null` when that would be too long. */
  #words: Uint32Array | null;
  #length = 1;

  /** @param sizeBytes About what will come, so that the list need not be moved to a larger place again and again. */
  constructor(cutting: Cutting, sizeBytes: number) {
    this.parts = partsOf(cutting);
    const count = Math.ceil(sizeBytes / 2 ** cutting.averageBits) + 64;
    this.#words = count > MAX_CHUNKS ? null : new Uint32Array(1 + (1 + this.parts) * count);
    if (this.#words !== null) new Uint8Array(this.#words.buffer).set([FORMAT, cutting.averageBits]);
  }

  add(length: number, mark: ChunkMark): void {
    let words = this.#words;
    if (words === null) return;
    if (this.#length + 1 + this.parts > words.length) {
      const mostWords = 1 + (1 + this.parts) * MAX_CHUNKS;
      if (words.length >= mostWords) {
        this.#words = null;
        return;
      }
      const larger = new Uint32Array(Math.min(mostWords, words.length * 2));
      larger.set(words);
      this.#words = words = larger;
    }
    words[this.#length++] = length;
    for (let part = 0; part < this.parts; part++) words[this.#length++] = mark[part]!;
  }

  /** `null` when the list would be too long. */
  finish(): Uint8Array | null {
    return this.#words === null ? null : new Uint8Array(this.#words.buffer, 0, this.#length * WORD_BYTES);
  }
}
