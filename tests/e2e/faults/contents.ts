import { hash } from "node:crypto";
import type { Prng } from "../../simulation/prng.ts";

/** From here on a file counts as a large one: it travels in pieces, and its changes as differences. */
export const LARGE_BYTES = 300_000;

const HASH_CHARS = 64;

/** A content that begins with the SHA-256 of what follows, so that whoever finds it can tell whether it is whole. */
export function selfProvingContent(random: Prng, sizeBytes: number): Uint8Array {
  const rest = random.bytes(sizeBytes);
  const content = new Uint8Array(HASH_CHARS + sizeBytes);
  content.set(new TextEncoder().encode(hash("sha256", rest, "hex")));
  content.set(rest, HASH_CHARS);
  return content;
}

/** Whether all of a {@linkcode selfProvingContent} is there, and nothing else. */
export function isWhole(content: Uint8Array): boolean {
  const head = new TextDecoder().decode(content.subarray(0, HASH_CHARS));
  return head === hash("sha256", content.subarray(HASH_CHARS), "hex");
}
