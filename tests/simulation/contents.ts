import { hash } from "node:crypto";
import type { FileNode } from "./memory_nodes.ts";
import type { Prng } from "./prng.ts";

const hashes = new WeakMap<Uint8Array, string>();

/** SHA-256 of a content in hex; contents are never changed in place, so each is hashed once. */
export function hashOf(content: Uint8Array): string {
  let known = hashes.get(content);
  if (known === undefined) hashes.set(content, known = hash("sha256", content, "hex"));
  return known;
}

export function hashOfNode(node: FileNode): string {
  return hashOf(node.content);
}

/** A content that no other one equals: text that says which it is, or bytes. */
export function freshContent(random: Prng, label: string, sizeBytes: number): Uint8Array {
  const head = new TextEncoder().encode(`${label} ${random.uuid()}\n`);
  const content = random.chance(0.3)
    ? random.bytes(Math.max(sizeBytes, head.length))
    : textOf(random, Math.max(sizeBytes, head.length));
  content.set(head);
  return content;
}

function textOf(random: Prng, sizeBytes: number): Uint8Array {
  const line = new TextEncoder().encode(`${random.uuid()} the quick brown fox jumps over the lazy dog\n`);
  const text = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += line.length) {
    text.set(line.subarray(0, sizeBytes - at), at);
    // Lines differ, so that chunks do.
    if (at + 4 < sizeBytes) new DataView(text.buffer).setUint32(at, Math.floor(random.unit() * 2 ** 32));
  }
  return text;
}
