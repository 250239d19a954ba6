import { type Cutting, cuttingOf } from "./gear.ts";

/** Bytes of a chunk's SHA-256 that are kept: enough to find it; what is built is checked against the SHA-256 of the whole file. */
export const DIGEST_BYTES = 8;
const HEAD_BYTES = 2;
const ENTRY_BYTES = 4 + DIGEST_BYTES;
const FORMAT = 1;

/**
 * The chunks of one version of a file, in their order, as they are kept in the database: a byte for the format (1), a byte for the
 * binary logarithm of the average length, then for each chunk its length (4 bytes, big endian) and the first 8 bytes of its SHA-256.
 */
export class ChunkList {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly cutting: Cutting;
  readonly count: number;
  /** Where each chunk begins, and the end of the last one. */
  readonly #offsets: Float64Array;
  /** By the first bytes of the digest: index + 1 of a chunk; 0 for none. Made at the first search. */
  #slots: Int32Array | null = null;

  /** @returns `null` when the bytes are of another format, or damaged. */
  static parse(bytes: Uint8Array): ChunkList | null {
    const bits = bytes[1] ?? 0;
    const valid = bytes[0] === FORMAT && bits >= 8 && bits <= 24 &&
      (bytes.length - HEAD_BYTES) % ENTRY_BYTES === 0;
    return valid ? new ChunkList(bytes) : null;
  }

  private constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.cutting = cuttingOf(bytes[1]!);
    this.count = (bytes.length - HEAD_BYTES) / ENTRY_BYTES;
    this.#offsets = new Float64Array(this.count + 1);
    for (let i = 0; i < this.count; i++) {
      this.#offsets[i + 1] = this.#offsets[i]! + this.#view.getUint32(HEAD_BYTES + i * ENTRY_BYTES);
    }
  }

  /** Bytes of the whole file. */
  get sizeBytes(): number {
    return this.#offsets[this.count]!;
  }

  offset(index: number): number {
    return this.#offsets[index]!;
  }

  length(index: number): number {
    return this.#offsets[index + 1]! - this.#offsets[index]!;
  }

  /** Whether a chunk has this digest, of which only the first {@linkcode DIGEST_BYTES} count. */
  has(index: number, digest: Uint8Array): boolean {
    const at = HEAD_BYTES + index * ENTRY_BYTES + 4;
    for (let i = 0; i < DIGEST_BYTES; i++) if (this.bytes[at + i] !== digest[i]) return false;
    return true;
  }

  /** A chunk of this digest and length; -1 when there is none. */
  find(digest: Uint8Array, length: number): number {
    const slots = this.#slots ??= this.#index();
    for (let slot = slotOf(digest, slots.length);; slot = (slot + 1) % slots.length) {
      const index = slots[slot]! - 1;
      if (index < 0) return -1;
      if (this.#same(index, digest, length)) return index;
    }
  }

  #same(index: number, digest: Uint8Array, length: number): boolean {
    return this.length(index) === length && this.has(index, digest);
  }

  #index(): Int32Array {
    const slots = new Int32Array(Math.max(16, 2 ** Math.ceil(Math.log2(this.count * 2 + 1))));
    for (let i = 0; i < this.count; i++) {
      const at = HEAD_BYTES + i * ENTRY_BYTES + 4;
      const digest = this.bytes.subarray(at, at + DIGEST_BYTES);
      let slot = slotOf(digest, slots.length);
      // A chunk that comes many times is found at its first place.
      while (slots[slot] !== 0 && !this.#same(slots[slot]! - 1, digest, this.length(i))) {
        slot = (slot + 1) % slots.length;
      }
      if (slots[slot] === 0) slots[slot] = i + 1;
    }
    return slots;
  }
}

function slotOf(digest: Uint8Array, slots: number): number {
  return (digest[0]! | digest[1]! << 8 | digest[2]! << 16 | digest[3]! << 24) >>> 0 & (slots - 1);
}

/** Collects a {@linkcode ChunkList} while a file is read. */
export class ChunkListBuilder {
  #bytes = new Uint8Array(HEAD_BYTES + 1024 * ENTRY_BYTES);
  #length = HEAD_BYTES;

  constructor(cutting: Cutting) {
    this.#bytes[0] = FORMAT;
    this.#bytes[1] = cutting.averageBits;
  }

  add(length: number, digest: Uint8Array): void {
    if (this.#length + ENTRY_BYTES > this.#bytes.length) {
      const larger = new Uint8Array(this.#bytes.length * 2);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    new DataView(this.#bytes.buffer).setUint32(this.#length, length);
    this.#bytes.set(digest.subarray(0, DIGEST_BYTES), this.#length + 4);
    this.#length += ENTRY_BYTES;
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}
