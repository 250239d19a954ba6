import { createHash, type Hash } from "node:crypto";
import { MirrorError } from "../domain/mirror_error.ts";
import type { PathState } from "../domain/observation.ts";
import { parseRelativePath, type RelativePath } from "../domain/relative_path.ts";

/** Number of buckets that paths are spread over when two trees are compared. */
export const BUCKETS = 256;

/** Bytes of one bucket's digest (SHA-256). */
export const DIGEST_BYTES = 32;

/** A path and its state, as trees are compared by it. */
export interface TreeEntry {
  readonly path: RelativePath;
  readonly state: PathState;
}

const encoder = new TextEncoder();

/** The bucket of a path: FNV-1a, 32 bits, over its UTF-8 bytes (Fowler, Noll, Vo; draft-eastlake-fnv), modulo 256. */
export function bucketOf(path: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(path)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % BUCKETS;
}

/** The line that stands for an entry, in digests and in listings. */
export function entryLine({ path, state }: TreeEntry): string {
  return JSON.stringify([path, state.kind, state.sizeBytes, state.mtimeMs, state.executable, state.hash]);
}

/**
 * Digests of a tree: one for each bucket over the lines of its entries in the byte order of their paths, each ended by a
 * newline.
 *
 * @param entries In the byte order of their paths.
 * @returns {@linkcode BUCKETS} digests of {@linkcode DIGEST_BYTES} bytes, one after the other.
 */
export function treeDigests(entries: Iterable<TreeEntry>): Uint8Array {
  const hashes: (Hash | undefined)[] = new Array(BUCKETS).fill(undefined);
  for (const entry of entries) {
    (hashes[bucketOf(entry.path)] ??= createHash("sha256")).update(entryLine(entry) + "\n");
  }
  const digests = new Uint8Array(BUCKETS * DIGEST_BYTES);
  hashes.forEach((hash, bucket) => {
    if (hash !== undefined) digests.set(hash.digest(), bucket * DIGEST_BYTES);
  });
  return digests;
}

/** The digest of a whole tree, in hex: SHA-256 over the digests of its buckets; an empty bucket counts as 32 zero bytes. */
export function rootDigest(digests: Uint8Array): string {
  return createHash("sha256").update(digests).digest("hex");
}

/** The buckets in which two trees differ. */
export function differingBuckets(a: Uint8Array, b: Uint8Array): number[] {
  const found: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    for (let i = bucket * DIGEST_BYTES; i < (bucket + 1) * DIGEST_BYTES; i++) {
      if (a[i] !== b[i]) {
        found.push(bucket);
        break;
      }
    }
  }
  return found;
}

/**
 * Reads a listing of entries, one line each.
 *
 * @throws {MirrorError} `bad_content` when a line is not one.
 */
export function parseListing(bytes: Uint8Array): TreeEntry[] {
  const entries: TreeEntry[] = [];
  for (const line of new TextDecoder().decode(bytes).split("\n")) {
    if (line === "") continue;
    entries.push(parseLine(line));
  }
  return entries;
}

function parseLine(line: string): TreeEntry {
  try {
    const [path, kind, sizeBytes, mtimeMs, executable, hash, ...more] = JSON.parse(line) as unknown[];
    if (
      typeof path === "string" && (kind === "file" || kind === "folder") && Number.isSafeInteger(sizeBytes) &&
      (sizeBytes as number) >= 0 &&
      Number.isSafeInteger(mtimeMs) && typeof executable === "boolean" && typeof hash === "string" &&
      more.length === 0
    ) {
      return {
        path: parseRelativePath(path),
        state: { kind, sizeBytes: sizeBytes as number, mtimeMs: mtimeMs as number, executable, hash },
      };
    }
  } catch (cause) {
    throw new MirrorError("bad_content", "a line of a tree listing cannot be read", { cause });
  }
  throw new MirrorError("bad_content", "a line of a tree listing lacks a value");
}
