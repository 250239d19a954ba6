import { isHash } from "../domain/hash.ts";
import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import {
  bucketOf,
  BUCKETS,
  entryLine,
  rootDigest,
  treeDigests,
  type TreeEntry,
} from "../wire/tree_digest.ts";

/** An answer to a question about the tree: further fields of the reply, and its content. */
export interface TreeAnswer {
  readonly fields: object;
  readonly content: Uint8Array | null;
}

/**
 * `tree`: whether what this side holds of the peer has the digest that the peer expects; if not, the digest of each bucket.
 *
 * @param held In the byte order of the paths.
 */
export function answerTree(held: Iterable<TreeEntry>, header: RawHeader): TreeAnswer {
  if (!isHash(header["digest"])) {
    throw new MirrorError("bad_header", 'the field "digest" is not a SHA-256 in hex');
  }
  let count = 0;
  const digests = treeDigests((function* () {
    for (const entry of held) {
      count++;
      yield entry;
    }
  })());
  const same = rootDigest(digests) === header["digest"];
  return { fields: { same, count }, content: same ? null : digests };
}

/**
 * `tree_buckets`: the entries of the buckets asked for, one line each. One pass over the table, however many buckets are asked
 * for; the asking side asks for as many as will fit into an answer.
 */
export function answerBuckets(held: Iterable<TreeEntry>, header: RawHeader): TreeAnswer {
  const asked = header["buckets"];
  const isBucket = (b: unknown) => typeof b === "number" && Number.isInteger(b) && b >= 0 && b < BUCKETS;
  if (!Array.isArray(asked) || !asked.every(isBucket)) {
    throw new MirrorError(
      "bad_header",
      `the field "buckets" is not a list of numbers from 0 to ${BUCKETS - 1}`,
    );
  }
  const buckets = new Set<number>(asked);
  const lines: string[] = [];
  for (const entry of held) {
    if (buckets.has(bucketOf(entry.path))) lines.push(entryLine(entry) + "\n");
  }
  return { fields: {}, content: new TextEncoder().encode(lines.join("")) };
}
