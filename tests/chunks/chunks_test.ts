import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { ChunkList, ChunkListBuilder } from "../../src/chunks/chunk_list.ts";
import { Differ, type Run } from "../../src/chunks/differ.ts";
import { cutAt, cuttingFor, cuttingOf } from "../../src/chunks/gear.ts";
import { readScript, ScriptWriter } from "../../src/chunks/script.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";

/** Bytes that look random and are always the same: SHA-256 of a counter. */
function bytesOf(seed: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0, i = 0; at < length; at += 32, i++) {
    bytes.set(createHash("sha256").update(`${seed} ${i}`).digest().subarray(0, length - at), at);
  }
  return bytes;
}

function cuts(bytes: Uint8Array, averageBits: number): number[] {
  const cutting = cuttingOf(averageBits);
  const found: number[] = [];
  for (let at = 0; at < bytes.length;) found.push(at = cutAt(bytes, at, bytes.length, cutting));
  return found;
}

/** Worked out by a second implementation and pinned: a peer that cut elsewhere could not use what it remembers. */
const GOLDEN_1_KIB = [1050, 2411, 3975, 5179, 6908, 8275, 9560, 10669];
const GOLDEN_2_KIB = [2411, 4031, 7151, 8275, 10760, 14674, 16652, 18797];
const GOLDEN_8_KIB = [8275, 16652, 23582, 31906, 40992, 49393, 54441, 63345];

/** What a pass over `bytes` finds: its list, and the content put together again from base and literals. */
async function diff(
  bytes: Uint8Array,
  base: Uint8Array | null,
  baseList: ChunkList | null,
  partBytes: number,
  cutting = baseList?.cutting ?? cuttingFor(bytes.length, true),
) {
  const made: Uint8Array[] = [];
  let literalBytes = 0;
  const differ = new Differ(
    cutting,
    bytes.length,
    baseList === null ? [] : [baseList],
  );
  const take = (runs: Iterable<Run>) => {
    for (const run of runs) {
      if (run.base >= 0) made.push(base!.slice(run.from, run.from + run.bytes.length));
      else {
        literalBytes += run.bytes.length;
        made.push(run.bytes.slice());
      }
    }
  };
  for (let at = 0; at < bytes.length; at += partBytes) take(differ.push(bytes.subarray(at, at + partBytes)));
  take(differ.finish());
  return { list: differ.chunks()!, literalBytes, content: await new Blob(made as BlobPart[]).bytes() };
}

Deno.test("chunks: the cut points are those of the golden vectors", () => {
  const bytes = bytesOf("golden", 100_000);
  assert.deepEqual(cuts(bytes, 10).slice(0, 8), GOLDEN_1_KIB);
  assert.deepEqual(cuts(bytes, 11).slice(0, 8), GOLDEN_2_KIB);
  assert.deepEqual(cuts(bytes, 13).slice(0, 8), GOLDEN_8_KIB);
});

Deno.test("chunks: every chunk but the last is within the bounds, of whatever content", () => {
  for (
    const bytes of [bytesOf("bounds", 300_000), new Uint8Array(300_000), new Uint8Array(300_000).fill(255)]
  ) {
    let before = 0;
    const { minBytes, maxBytes } = cuttingOf(12);
    for (const cut of cuts(bytes, 12)) {
      const length = cut - before;
      assert.ok(length <= maxBytes && (length > minBytes || cut === bytes.length), `${before} to ${cut}`);
      before = cut;
    }
    assert.equal(before, bytes.length);
  }
});

Deno.test("chunks: the list of the largest file stays small", () => {
  assert.equal(cuttingFor(300_000, true).averageBits, 10);
  assert.equal(cuttingFor(300_000, false).averageBits, 11);
  assert.equal(cuttingFor(2 ** 26, true).averageBits, 11);
  assert.equal(cuttingFor(2 ** 30, true).averageBits, 13);
  assert.equal(cuttingFor(20 * 2 ** 30, true).averageBits, 18);
  assert.equal(cuttingFor(2 ** 50, false).averageBits, 20);
});

Deno.test("chunks: an insertion, an overwriting, a removal and an appending cost about a chunk each", async () => {
  const base = bytesOf("base", 1_000_000);
  const { list } = await diff(base, null, null, 70_000);
  const known = ChunkList.parse(list)!;
  assert.equal(known.sizeBytes, base.length);
  const edits: Record<string, Uint8Array[]> = {
    insertion: [base.subarray(0, 333_333), new Uint8Array([7]), base.subarray(333_333)],
    overwriting: [base.subarray(0, 600_000), new Uint8Array(100), base.subarray(600_100)],
    removal: [base.subarray(0, 200_000), base.subarray(250_000)],
    appending: [base, new Uint8Array([1, 2, 3])],
    moving: [base.subarray(500_000), base.subarray(0, 500_000)],
    nothing: [base],
  };
  for (const [edit, parts] of Object.entries(edits)) {
    const bytes = await new Blob(parts as BlobPart[]).bytes();
    for (const partBytes of [1000, 262_144]) {
      const found = await diff(bytes, base, known, partBytes);
      assert.deepEqual(found.content, bytes, edit);
      assert.ok(found.literalBytes <= (edit === "nothing" ? 0 : 40_000), `${edit}: ${found.literalBytes}`);
    }
  }
});

/** Edits of a file, of which each is far from the others. */
const EDITS: Record<string, (base: Uint8Array, at: number) => Uint8Array[]> = {
  "a byte overwritten": (
    base,
    at,
  ) => [base.subarray(0, at), new Uint8Array([base[at]! + 1]), base.subarray(at + 1)],
  "a byte inserted": (base, at) => [base.subarray(0, at), new Uint8Array(1), base.subarray(at)],
  "ten bytes removed": (base, at) => [base.subarray(0, at), base.subarray(at + 10)],
  "512 bytes overwritten": (
    base,
    at,
  ) => [base.subarray(0, at), bytesOf(`${at}`, 512), base.subarray(at + 512)],
};

for (const averageBits of [11, 13, 15]) {
  Deno.test(`chunks: where little changed, little more than that is given, in chunks of ${1 << averageBits}`, async () => {
    const base = bytesOf("scattered", 96 << averageBits);
    const { list } = await diff(base, null, null, 262_144, cuttingOf(averageBits));
    const known = ChunkList.parse(list)!;
    for (const [edit, parts] of Object.entries(EDITS)) {
      let bytes = base;
      const edits = 8;
      for (let i = edits - 1; i >= 0; i--) {
        const at = Math.floor((i + 0.4) * base.length / edits);
        bytes = await new Blob(parts(bytes, at) as BlobPart[]).bytes();
      }
      for (const partBytes of [5000, 262_144]) {
        const found = await diff(bytes, base, known, partBytes);
        assert.deepEqual(found.content, bytes, edit);
        // The parts in which it lies: of a long chunk they are longer than of one that is as long as the average.
        const changed = edit.startsWith("512") ? 512 : 1;
        const allowed = edits * (changed + 3 * (1 << averageBits) / known.parts);
        assert.ok(found.literalBytes <= allowed, `${edit}: ${found.literalBytes} of ${allowed}`);
      }
    }
  });
}

Deno.test("chunks: whatever was done to a file, it is put together again", async () => {
  const base = bytesOf("anything", 300_000);
  for (let seed = 0; seed < 60; seed++) {
    const numbers = new Uint32Array(bytesOf(`seed ${seed}`, 400).buffer);
    let next = 0;
    const below = (bound: number) => numbers[next++]! % bound;
    const averageBits = 9 + below(7);
    const { list } = await diff(base, null, null, 262_144, cuttingOf(averageBits));
    let bytes: Uint8Array = base;
    for (let edits = below(12); edits > 0; edits--) {
      const at = below(bytes.length), to = at + below(5000);
      const kind = below(4);
      const made = kind === 0
        ? bytesOf(`${at}`, to - at)
        : kind === 1
        ? bytes.slice(below(at + 1)).subarray(0, to - at)
        : [];
      const rest = bytes.subarray(kind === 2 ? at : to);
      bytes = await new Blob([bytes.subarray(0, at), made, rest] as BlobPart[]).bytes();
    }
    const found = await diff(bytes, base, ChunkList.parse(list), 1 + below(100_000));
    assert.deepEqual(found.content, bytes, `seed ${seed}`);
    const again = await diff(bytes, null, null, 262_144, cuttingOf(averageBits));
    assert.deepEqual(
      found.list,
      again.list,
      `seed ${seed}: the list does not depend on what was there before`,
    );
  }
});

Deno.test("chunks: a list is read from the middle of a buffer as well, as it comes off a link", async () => {
  const { list } = await diff(bytesOf("list", 100_000), null, null, 262_144);
  const around = Buffer.alloc(list.length + 8);
  around.set(list, 3);
  const read = ChunkList.parse(around.subarray(3, 3 + list.length))!;
  assert.equal(read.sizeBytes, 100_000);
  assert.equal(read.count, ChunkList.parse(list)!.count);
});

Deno.test("chunks: a list that is damaged or of another format is no list", () => {
  assert.equal(ChunkList.parse(new Uint8Array(0)), null);
  assert.equal(ChunkList.parse(new Uint8Array([1, 11, 0, 0])), null);
  assert.equal(ChunkList.parse(new Uint8Array([3, 11, 0])), null);
  assert.equal(ChunkList.parse(new Uint8Array([3, 11, 0, 0, 0])), null);
  assert.equal(ChunkList.parse(new Uint8Array([3, 99, 0, 0])), null);
  // A chunk of no bytes, and one that is longer than its cutting makes.
  assert.equal(ChunkList.parse(new Uint8Array([3, 11, 0, 0, ...Array(20).fill(0)])), null);
  assert.equal(ChunkList.parse(new Uint8Array([3, 11, 0, 0, 255, 255, 255, ...Array(17).fill(0)])), null);
});

Deno.test("chunks: a list that would be too long is none, whether that was to be expected or not", () => {
  const listOf = (count: number, expectedBytes: number) => {
    const builder = new ChunkListBuilder(cuttingOf(10), expectedBytes);
    for (let i = 0; i < count; i++) builder.add(1024, [i, i, i, i]);
    return builder.finish();
  };
  const most = 2 ** 19;
  const longest = listOf(most, 0);
  assert.equal(ChunkList.parse(longest!)?.count, most);
  assert.equal(listOf(most + 1, 0), null);
  assert.equal(listOf(most + 1, 2 ** 29), null);
  assert.equal(listOf(1, 2 ** 34), null);
});

Deno.test("chunks: content that is spread over several bases is found in each of them", async () => {
  const bases = ["one", "two"].map((seed) => bytesOf(seed, 400_000));
  const lists = await Promise.all(
    bases.map(async (bytes) => ChunkList.parse((await diff(bytes, null, null, 262_144)).list)!),
  );
  const bytes = await new Blob(
    [bases[1]!.slice(100_000), bytesOf("new", 5000), bases[0]!.slice(0, 300_000)] as BlobPart[],
  )
    .bytes();
  const differ = new Differ(lists[0]!.cutting, bytes.length, lists);
  let literalBytes = 0, at = 0;
  const used = new Set<number>();
  for (const { base, from, bytes: run } of [...differ.push(bytes), ...differ.finish()]) {
    used.add(base);
    if (base < 0) literalBytes += run.length;
    else {assert.deepEqual(
        bases[base]!.subarray(from, from + run.length),
        bytes.subarray(at, at + run.length),
      );}
    at += run.length;
  }
  assert.equal(at, bytes.length);
  assert.deepEqual([...used].sort(), [-1, 0, 1]);
  assert.ok(literalBytes < 15_000, `${literalBytes}`);
});

Deno.test("script: what was written is read again", () => {
  const writer = new ScriptWriter(1000, new Uint8Array(100));
  writer.copy(1000, 50);
  writer.copy(1050, 2 ** 33);
  writer.literal(new Uint8Array([1, 2]));
  writer.literal(new Uint8Array([3]));
  writer.copy(10, 5);
  const stretch = { offset: 1000, length: writer.length, baseBytes: 2 ** 34 };
  const steps = [...readScript(writer.finish(), stretch)].map((step) =>
    step.kind === "copy" ? [step.from, step.length] : [...step.bytes]
  );
  assert.deepEqual(steps, [[1000, 50 + 2 ** 33], [1, 2, 3], [10, 5]]);
});

Deno.test("script: one that lies is refused", () => {
  const lies: Record<string, { script: number[]; length?: number }> = {
    "beyond the base": { script: [21, 200, 1] },
    "before the base": { script: [21, 1] },
    "more than it should": { script: [22, ...Array(11).fill(0)] },
    "fewer than it should": { script: [4, 1, 2] },
    "nothing": { script: [0] },
    "ends inside its bytes": { script: [20, 1] },
    "ends inside a number": { script: [149] },
    "a number without end": { script: Array(20).fill(255) },
  };
  for (const [lie, { script }] of Object.entries(lies)) {
    const stretch = { offset: 0, length: 10, baseBytes: 100 };
    assert.throws(
      () => [...readScript(new Uint8Array(script), stretch)],
      (error) => error instanceof MirrorError && error.code === "bad_content",
      lie,
    );
  }
});
