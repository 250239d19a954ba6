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
 * The bytes of a frame up to its content: header length, header, content length (lengths as 8 bytes, big endian).
 * The content follows.
 *
 * @throws {RangeError} when the header is longer than {@linkcode MAX_HEADER_BYTES}: a mistake of the caller.
 */
export function encodeFrameHead(header: object, contentBytes: number): Uint8Array {
  return encodeFrame(header, null, contentBytes);
}

/** A whole frame with its content copied in; for small contents. */
export function encodeFrame(
  header: object,
  content: Uint8Array | null,
  contentBytes = content?.length ?? 0,
): Uint8Array {
  const json = encoder.encode(JSON.stringify(header));
  if (json.length > MAX_HEADER_BYTES) throw new RangeError(`a header of ${json.length} bytes cannot be sent`);
  const bytes = new Uint8Array(FRAME_OVERHEAD_BYTES + json.length + (content?.length ?? 0));
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(json.length));
  bytes.set(json, 8);
  view.setBigUint64(8 + json.length, BigInt(contentBytes));
  if (content !== null) bytes.set(content, FRAME_OVERHEAD_BYTES + json.length);
  return bytes;
}
