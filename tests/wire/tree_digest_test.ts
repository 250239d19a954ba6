import assert from "node:assert/strict";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { parseRelativePath } from "../../src/domain/relative_path.ts";
import {
  bucketOf,
  BUCKETS,
  differingBuckets,
  DIGEST_BYTES,
  entryLine,
  parseListing,
  rootDigest,
  treeDigests,
  type TreeEntry,
} from "../../src/wire/tree_digest.ts";
import { encodeFrame } from "./streams.ts";
import { frameVector, TREE } from "./vectors.ts";

const ENTRIES = TREE.entries.map((entry): TreeEntry => ({
  path: parseRelativePath(entry.path),
  state: {
    kind: entry.kind as "file" | "folder",
    sizeBytes: entry.size,
    mtimeMs: entry.mtimeMs,
    executable: entry.executable,
    hash: entry.hash,
  },
}));

Deno.test("lines and buckets of the document's tree", () => {
  for (const [i, entry] of ENTRIES.entries()) {
    const vector = TREE.entries[i]!;
    assert.equal(entryLine(entry), vector.line);
    assert.equal(new TextEncoder().encode(entryLine(entry) + "\n").toHex(), vector.bytes);
    assert.equal(bucketOf(entry.path), vector.bucket, entry.path);
    assert.equal(bucketOf(entry.path), parseInt(vector.fnv1a, 16) % 256);
  }
});

Deno.test("buckets agree with published values of FNV-1a", () => {
  assert.equal(bucketOf(""), 0xc5);
  assert.equal(bucketOf("a"), 0x2c);
  assert.equal(bucketOf("foobar"), 0x68);
});

Deno.test("digests of the document's tree", () => {
  const digests = treeDigests(ENTRIES);
  assert.equal(digests.length, BUCKETS * DIGEST_BYTES);
  const expected = TREE.bucketDigests as Record<string, string>;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const digest = digests.subarray(bucket * DIGEST_BYTES, (bucket + 1) * DIGEST_BYTES).toHex();
    assert.equal(digest, expected[bucket] ?? "00".repeat(DIGEST_BYTES), `bucket ${bucket}`);
  }
  assert.equal(rootDigest(digests), TREE.rootDigest);
  assert.equal(rootDigest(treeDigests([])), TREE.emptyTreeRootDigest);
  assert.equal(frameVector("tree").header["digest"], TREE.rootDigest);
  const id = frameVector("tree").header["id"];
  const answer = { status: "ok", id, same: false, count: ENTRIES.length };
  assert.equal(encodeFrame(answer, digests).toHex(), TREE.digestsFrame);
});

Deno.test("the order of the document's tree is that of the bytes, not of UTF-16", () => {
  const paths = TREE.entries.map(({ path }) => path);
  const bytes = paths.map((path) => new TextEncoder().encode(path).toHex());
  assert.deepEqual(bytes, [...bytes].sort());
  assert.notDeepEqual(paths, [...paths].sort(), "the tree must hold names whose two orders differ");
});

Deno.test("the document's listing", () => {
  const { buckets, bytes } = TREE.listing;
  const inBuckets = ENTRIES.filter(({ path }) => buckets.includes(bucketOf(path)));
  assert.equal(inBuckets.length, 3);
  assert.deepEqual(parseListing(Uint8Array.fromHex(bytes)), inBuckets);
  assert.equal(new TextEncoder().encode(inBuckets.map((e) => entryLine(e) + "\n").join("")).toHex(), bytes);
  assert.deepEqual(frameVector("tree-buckets").header["buckets"], buckets);
  assert.equal(frameVector("tree-buckets-answer").content, bytes);
});

Deno.test("every part of a state changes the digest of its bucket and of no other", () => {
  const ours = treeDigests(ENTRIES);
  const [entry] = ENTRIES.filter(({ path }) => path === "a/b.txt");
  const bucket = bucketOf("a/b.txt");
  for (
    const change of [{ sizeBytes: 1 }, { mtimeMs: 1 }, { executable: true }, { hash: "00" }, {
      kind: "folder" as const,
    }]
  ) {
    const theirs = treeDigests(
      ENTRIES.map((e) => e === entry ? { path: e.path, state: { ...e.state, ...change } } : e),
    );
    assert.deepEqual(differingBuckets(ours, theirs), [bucket], JSON.stringify(change));
    assert.notEqual(rootDigest(ours), rootDigest(theirs));
  }
  assert.deepEqual(differingBuckets(ours, treeDigests(ENTRIES.filter((e) => e !== entry))), [bucket]);
  assert.deepEqual(differingBuckets(ours, ours.slice()), []);
});

Deno.test("listings that cannot be read", () => {
  const good: unknown[] = ["a", "file", 1, 2, false, "00"];
  const lines = [
    "x",
    "{}",
    "null",
    "[]",
    '"a"',
    ...[0, 1, 2, 3, 4, 5].map((i) => JSON.stringify(good.with(i, null))),
    JSON.stringify([...good, 1]),
    JSON.stringify(good.slice(0, 5)),
    JSON.stringify(good.with(0, "../a")),
    JSON.stringify(good.with(0, "/a")),
    JSON.stringify(good.with(1, "symlink")),
    JSON.stringify(good.with(2, 1.5)),
    JSON.stringify(good.with(3, 2 ** 53)),
  ];
  for (const line of lines) {
    assert.throws(
      () => parseListing(new TextEncoder().encode(line + "\n")),
      (error) => error instanceof MirrorError && error.code === "bad_content",
      line,
    );
  }
  assert.deepEqual(parseListing(new Uint8Array()), []);
});
