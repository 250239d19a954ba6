import { Buffer } from "node:buffer";
import { crc32, createInflateRaw, type InflateRaw } from "node:zlib";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";

const TRAILER_BYTES = 8;
const MAX_HEADER_BYTES = 65_536 + 1024;
/**
 * Compressed bytes are fed in slices, as what one unpacks to is in memory as a whole: up to a thousand times as much. So a slice is
 * as long as makes this much of it, if it shrinks like the one before it, between two bounds.
 */
const UNPACKED_BYTES = 256 * 1024;
const MIN_SLICE_BYTES = 256;
const MAX_SLICE_BYTES = 16 * 1024;
/** Of one call of zlib's; its own choice is a quarter of that. */
const CHUNK_BYTES = 64 * 1024;
const FLAGS = { headerCrc: 0x02, extra: 0x04, name: 0x08, comment: 0x10, reserved: 0xe0 };

/**
 * Unpacks content that must be exactly one gzip member (RFC 1952) with nothing after it. `node:zlib`'s own gunzip takes several
 * members in a row; this one reads header and trailer itself and leaves the deflate stream to zlib.
 */
export class GunzipMember {
  readonly #inflate: InflateRaw = createInflateRaw({ chunkSize: CHUNK_BYTES });
  readonly #limitBytes: number;
  #head: Uint8Array | null = new Uint8Array(0);
  /** The last bytes that came: the trailer, once all has come. Never fed to zlib. */
  #tail: Uint8Array = new Uint8Array(0);
  #fed = 0;
  #produced = 0;
  #sliceBytes = MIN_SLICE_BYTES;
  #crc = 0;
  #parts: Uint8Array[] = [];
  #error: unknown = null;

  /** @param limitBytes The declared size: more than that is refused before it is kept. */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#inflate.on("data", (part: Uint8Array) => {
      this.#produced += part.length;
      if (this.#produced > this.#limitBytes) {
        this.#error ??= new MirrorError(
          "bad_content",
          "the compressed content unpacks to more than its size says",
        );
        return;
      }
      this.#crc = crc32(part, this.#crc);
      this.#parts.push(part);
    });
    this.#inflate.on("error", (error) => this.#error ??= error);
  }

  /** Bytes that were unpacked so far. */
  get unpackedBytes(): number {
    return this.#produced;
  }

  /** Takes the next compressed bytes and gives what they unpack to, a little at a time. To be gone through to its end. */
  async *push(bytes: Uint8Array): AsyncGenerator<Uint8Array, void> {
    let data: Uint8Array = Buffer.concat([this.#tail, bytes]);
    if (this.#head !== null) {
      this.#head = Buffer.concat([this.#head, data]);
      this.#tail = new Uint8Array(0);
      const headerBytes = gzipHeaderLength(this.#head);
      if (headerBytes === null) {
        if (this.#head.length > MAX_HEADER_BYTES) throw notGzip("its header is too long");
        return;
      }
      data = this.#head.subarray(headerBytes);
      this.#head = null;
    }
    const body = data.subarray(0, Math.max(0, data.length - TRAILER_BYTES));
    this.#tail = data.subarray(body.length).slice();
    for (let from = 0; from < body.length;) {
      const slice = body.subarray(from, from + this.#sliceBytes);
      from += slice.length;
      const before = this.#produced;
      await this.#feed(slice);
      const growth = Math.max(1, (this.#produced - before) / slice.length);
      this.#sliceBytes = Math.max(MIN_SLICE_BYTES, Math.min(MAX_SLICE_BYTES, UNPACKED_BYTES / growth | 0));
      yield* this.#parts.splice(0);
    }
  }

  /** All bytes have come: checks that they were one whole member and nothing else. */
  async finish(): Promise<Uint8Array[]> {
    if (this.#head !== null || this.#tail.length < TRAILER_BYTES) throw notGzip("it ends too early");
    await new Promise<void>((resolve) => {
      this.#inflate.once("end", resolve);
      this.#inflate.once("error", () => resolve());
      this.#inflate.end();
    });
    this.#check();
    if (this.#inflate.bytesWritten !== this.#fed) throw notGzip("something follows its end");
    const trailer = new DataView(this.#tail.buffer, this.#tail.byteOffset, TRAILER_BYTES);
    if (
      trailer.getUint32(0, true) !== this.#crc >>> 0 ||
      trailer.getUint32(4, true) !== this.#produced % 2 ** 32
    ) {
      throw notGzip("its checksum or length is wrong");
    }
    return this.#parts.splice(0);
  }

  close(): void {
    this.#inflate.destroy();
  }

  async #feed(slice: Uint8Array): Promise<void> {
    this.#check();
    this.#fed += slice.length;
    await new Promise<void>((resolve) => {
      this.#inflate.once("error", () => resolve());
      this.#inflate.write(slice, () => resolve());
    });
    this.#inflate.removeAllListeners("error").on("error", (error) => this.#error ??= error);
    this.#check();
    if (this.#inflate.bytesWritten < this.#fed) throw notGzip("something follows its end");
  }

  #check(): void {
    if (this.#error === null) return;
    throw this.#error instanceof MirrorError ? this.#error : notGzip(messageOf(this.#error));
  }
}

function notGzip(why: string): MirrorError {
  return new MirrorError("bad_content", `the compressed content is not exactly one gzip member: ${why}`);
}

/** Length of a gzip header, `null` while it is not all there. */
function gzipHeaderLength(bytes: Uint8Array): number | null {
  if (bytes.length < 10) return null;
  const flags = bytes[3]!;
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b || bytes[2] !== 8 || (flags & FLAGS.reserved) !== 0) {
    throw notGzip("it does not begin like one");
  }
  let at = 10;
  if (flags & FLAGS.extra) {
    if (bytes.length < at + 2) return null;
    at += 2 + bytes[at]! + 256 * bytes[at + 1]!;
  }
  for (const field of [FLAGS.name, FLAGS.comment]) {
    if (!(flags & field)) continue;
    const end = bytes.indexOf(0, at);
    if (end < 0) return null;
    at = end + 1;
  }
  if (flags & FLAGS.headerCrc) at += 2;
  return bytes.length < at ? null : at;
}
