import { gunzipSync } from "node:zlib";
import { type Cutting, cuttingOf, isAverage } from "../chunks/gear.ts";
import { isHash } from "../domain/hash.ts";
import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";

/** The longest content of a piece, as it travels and unpacked; ours are a quarter of that. */
export const MAX_PIECE_BYTES = 1024 * 1024;
/** What one piece may make by copying: a script of a few bytes could fill the disk else. Ours make a quarter of that. */
export const MAX_MADE_BYTES = 64 * 1024 * 1024;

/** The smallest chunk that zlib can be told to unpack into. */
const MIN_CHUNK_BYTES = 64;

/** What a piece's header says, checked. */
export interface Piece {
  /** Where in the new file the stretch begins that it makes, and how long that is. */
  readonly offset: number;
  readonly length: number;
  /** How often the transfer has begun anew: what is still on its way from before is dropped. */
  readonly turn: number;
  /** SHA-256 of the new file from its start to the end of this stretch; `null` when the sender leaves it to the end. */
  readonly digest: string | null;
  /** Bytes of the content when unpacked; `null` when it is not packed. */
  readonly rawBytes: number | null;
  /** The content is a script, and this the SHA-256 of what it copies from; `null` when the content is the bytes themselves. */
  readonly base: string | null;
  /** The sender knows of nothing here that the file could be built on. */
  readonly bare: boolean;
  /** How the sender cuts the file: what is described to it should be cut alike. `null` when it does not say. */
  readonly cutting: Cutting | null;
}

/** @throws {MirrorError} `bad_header` naming the field. */
export function parsePiece(header: RawHeader, contentBytes: number): Piece {
  const coding = header["coding"] ?? "plain";
  if (coding !== "plain" && coding !== "gzip" && coding !== "script" && coding !== "script+gzip") {
    throw new MirrorError("bad_header", 'the field "coding" is none that is known');
  }
  const packed = coding.endsWith("gzip");
  const digest = header["digest"] ?? null, base = header["base"] ?? null;
  if (digest !== null && !isHash(digest)) {
    throw new MirrorError("bad_header", 'the field "digest" is not a SHA-256 in hex');
  }
  const bits = header["bits"] ?? null;
  if (bits !== null && !isAverage(bits)) {
    throw new MirrorError("bad_header", 'the field "bits" is no way to cut a file');
  }
  const script = coding.startsWith("script");
  const length = coding === "plain" && header["length"] === undefined
    ? contentBytes
    : count(header, "length");
  if (length > MAX_MADE_BYTES) {
    throw new MirrorError("bad_content", `a piece makes more than ${MAX_MADE_BYTES} bytes`);
  }
  if ((script || base !== null) && !isHash(base)) {
    throw new MirrorError("bad_header", 'the field "base" is not a SHA-256 in hex');
  }
  return {
    offset: count(header, "offset"),
    length,
    turn: header["turn"] === undefined ? 0 : count(header, "turn"),
    digest,
    rawBytes: packed ? count(header, "raw") : null,
    base: script ? base as string : null,
    bare: header["bare"] === true,
    cutting: bits === null ? null : cuttingOf(bits),
  };
}

/**
 * The content of a piece, unpacked into a buffer of its own: never more than it says, and never more than a megabyte. It is the
 * content itself if that was not packed.
 *
 * @throws {MirrorError} `bad_content`.
 */
export function unpackPiece(piece: Piece, content: Uint8Array): Uint8Array {
  if (piece.rawBytes === null) return content;
  if (piece.rawBytes > MAX_PIECE_BYTES) {
    throw new MirrorError("bad_content", `a piece is longer than ${MAX_PIECE_BYTES} bytes when unpacked`);
  }
  let unpacked: Uint8Array;
  try {
    // Into one buffer, if it is what it says: with a byte of room, as zlib takes another one when the first is full.
    const chunkSize = Math.max(MIN_CHUNK_BYTES, piece.rawBytes + 1);
    unpacked = gunzipSync(content, { maxOutputLength: Math.max(1, piece.rawBytes), chunkSize });
  } catch (cause) {
    throw new MirrorError("bad_content", "a piece's gzip is damaged, or longer than it says", { cause });
  }
  if (unpacked.length !== piece.rawBytes) {
    throw new MirrorError("bad_content", "a piece is shorter when unpacked than it says");
  }
  return unpacked;
}

function count(header: RawHeader, field: string): number {
  const value = header[field];
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) {
    throw new MirrorError("bad_header", `the field "${field}" is missing or not a whole number`);
  }
  return value;
}
