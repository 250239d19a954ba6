import { gzipSync } from "node:zlib";

/** Packed, a piece must be shorter than this share of it to be sent so. */
const WORTH = 0.9;
/** Bytes that are tried first. */
const SAMPLE_BYTES = 4096;
/** Pieces up to this are always tried: it costs nothing that anybody would notice. */
const SMALL_BYTES = 64 * 1024;
/** A wire that takes more bytes a second than the compressor makes is not helped by it. zlib's level 1 makes about 200 MB/s here, 6 about 50. */
const FAST_BYTES_PER_SECOND = 150e6;
const SLOW_BYTES_PER_SECOND = 20e6;
/** How far back the rate of the wire is measured. */
const MEASURE_MS = 500;
/** After pieces that did not shrink, up to so many go unlooked at: finding that out must cost next to nothing. */
const MAX_UNLOOKED = 16;

/** Decides for each piece of a large file whether to pack it, by what the wire takes and by what packing gains. */
export class Compression {
  readonly #now: () => number;
  #since: number;
  #bytes = 0;
  #bytesPerSecond: number | null = null;
  /** Pieces that still go unlooked at, and how many it were the last time. */
  #unlooked = 0;
  #patience = 0;

  /** @param now Monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  /** So many bytes went out. */
  sent(bytes: number): void {
    this.#bytes += bytes;
    const elapsedMs = this.#now() - this.#since;
    if (elapsedMs < MEASURE_MS) return;
    this.#bytesPerSecond = this.#bytes / elapsedMs * 1000;
    this.#bytes = 0;
    this.#since = this.#now();
  }

  /** One gzip member, or `null` when the bytes go as they are. */
  pack(bytes: Uint8Array): Uint8Array | null {
    const level = this.#level(bytes.length);
    if (level === 0 || bytes.length < 64) return null;
    if (bytes.length > SMALL_BYTES) {
      if (this.#unlooked > 0) {
        this.#unlooked--;
        return null;
      }
      const middle = Math.floor((bytes.length - SAMPLE_BYTES) / 2);
      const sample = bytes.subarray(middle, middle + SAMPLE_BYTES);
      const shrinks = gzipSync(sample, { level: 1 }).length <= SAMPLE_BYTES * WORTH;
      this.#patience = shrinks ? 0 : Math.min(MAX_UNLOOKED, this.#patience * 2 + 1);
      this.#unlooked = this.#patience;
      if (!shrinks) return null;
    }
    const packed = gzipSync(bytes, { level });
    return packed.length < bytes.length * WORTH ? packed : null;
  }

  #level(length: number): number {
    if (length <= SMALL_BYTES) return 6;
    const rate = this.#bytesPerSecond;
    if (rate === null || (rate >= SLOW_BYTES_PER_SECOND && rate < FAST_BYTES_PER_SECOND)) return 1;
    return rate < SLOW_BYTES_PER_SECOND ? 6 : 0;
  }
}
