import { utf8Length } from "../domain/relative_path.ts";

/** The longest header that is written or accepted, in bytes. */
export const MAX_HEADER_BYTES = 65_536;

/** Bytes that a frame has beside its header and its content: the two lengths. */
export const FRAME_OVERHEAD_BYTES = 16;

const encoder = new TextEncoder();

/** Bytes that a frame takes on the wire. */
export function frameBytes(header: object, contentBytes: number): number {
  return FRAME_OVERHEAD_BYTES + utf8Length(JSON.stringify(header)) + contentBytes;
}

/**
 * Writes a frame up to its content: header length, header, content length (lengths as 8 bytes, big endian). The content follows.
 *
 * @param json The header. It is at most three bytes a character long.
 * @returns How many bytes were written.
 * @throws {RangeError} when the header is longer than {@linkcode MAX_HEADER_BYTES}: a mistake of the caller.
 */
export function writeFrameHead(into: Uint8Array, json: string, contentBytes: number): number {
  const { read, written } = encoder.encodeInto(json, into.subarray(8, into.length - 8));
  if (written > MAX_HEADER_BYTES || read < json.length) {
    throw new RangeError(`a header of over ${written} bytes cannot be sent`);
  }
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  setLength(view, 0, written);
  setLength(view, 8 + written, contentBytes);
  return FRAME_OVERHEAD_BYTES + written;
}

function setLength(view: DataView, at: number, length: number): void {
  view.setUint32(at, Math.floor(length / 2 ** 32));
  view.setUint32(at + 4, length >>> 0);
}
