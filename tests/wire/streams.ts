import { frameBytes, writeFrameHead } from "../../src/wire/frame.ts";
import type { ByteSource } from "../../src/wire/frame_reader.ts";

/** A stream that gives `bytes` in pieces of `size`, then ends. Counts how much was taken. */
export function sourceOf(bytes: Uint8Array, size = bytes.length): ByteSource & { taken: number } {
  const source = () => {
    if (source.taken >= bytes.length) return Promise.resolve(null);
    const piece = bytes.slice(source.taken, source.taken + size);
    source.taken += piece.length;
    return Promise.resolve(piece);
  };
  source.taken = 0;
  return source;
}

export function join(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** A length as it travels: 8 bytes, big endian. */
export function lengthBytes(length: bigint): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, length);
  return bytes;
}

/** A whole frame. */
export function encodeFrame(header: object, content: Uint8Array | null): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(frameBytes(header, content?.length ?? 0));
  const headBytes = writeFrameHead(bytes, JSON.stringify(header), content?.length ?? 0);
  if (content !== null) bytes.set(content, headBytes);
  return bytes;
}
