import assert from "node:assert/strict";
import { ChunkList } from "../../src/chunks/chunk_list.ts";
import { cuttingFor } from "../../src/chunks/gear.ts";
import { readChunks } from "../../src/chunks/read_chunks.ts";
import type { FileStat } from "../../src/domain/observation.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { Slices } from "../../src/domain/slices.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import type { Expected } from "../../src/verify/expected.ts";
import { FindingList, parseReport, RangeList } from "../../src/verify/finding.ts";
import { judge } from "../../src/verify/judge.ts";
import { damagedList } from "../../src/verify/known_chunks.ts";
import { sha256 } from "../helpers/tree.ts";
import { tempFolder } from "../receive/support.ts";

const clock = new SystemClock();
const GOOD = new Uint8Array(1_500_000).map((_, i) => (i * 2654435761 >>> 13) ^ (i >> 7));

/** A file with the good content, and what is remembered of it. */
async function remembered(): Promise<
  AsyncDisposable & { tree: DiskTree; file: string; expected: () => Promise<Expected>; list: ChunkList }
> {
  const temp = await tempFolder();
  const tree = new DiskTree(temp.path);
  const file = `${temp.path}/file`;
  await Deno.writeFile(file, GOOD);
  const open = await tree.openRead("file");
  const { chunks } = (await readChunks(open, cuttingFor(GOOD.length, false), clock))!;
  open.close();
  return {
    tree,
    file,
    list: ChunkList.parse(chunks!)!,
    expected: async () => {
      const left = (await tree.lstat("file"))!;
      const isAsLeft = (stat: FileStat) =>
        stat.mtimeMs === left.mtimeMs && stat.ctimeMs === left.ctimeMs && stat.sizeBytes === left.sizeBytes &&
        stat.inode === left.inode;
      const path = "file" as RelativePath;
      const known = {
        path,
        diskPath: path,
        sizeBytes: GOOD.length,
        hash: sha256(GOOD),
        stamp: "as it was left",
      };
      return { side: "watched", ...known, isAsLeft };
    },
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
}

function judgeWith(tree: DiskTree, expected: Expected, list: ChunkList | null) {
  return judge({
    tree,
    slices: new Slices(clock),
    stopped: () => false,
    onRead: () => {},
    listFor: () => Promise.resolve(list),
  }, expected);
}

Deno.test("judge: what is as it was is good, and no list is asked for", async () => {
  await using it = await remembered();
  const parts = { tree: it.tree, slices: new Slices(clock), stopped: () => false };
  let bytes = 0;
  const judgement = await judge({
    ...parts,
    onRead: (count) => bytes += count,
    listFor: () => Promise.reject(new Error("asked for")),
  }, await it.expected());
  assert.equal(judgement?.verdict, "good");
  assert.equal(bytes, GOOD.length);
});

Deno.test("judge: bytes that were flipped are found by the chunks around them, adjacent chunks in one range", async () => {
  await using it = await remembered();
  const boundary = it.list.offset(5);
  const bad = GOOD.slice();
  bad[0]! ^= 1;
  bad[boundary - 1]! ^= 1;
  bad[boundary]! ^= 1;
  bad[bad.length - 1]! ^= 1;
  await Deno.writeFile(it.file, bad);
  const judgement = await judgeWith(it.tree, await it.expected(), it.list);
  assert.equal(judgement?.verdict, "damaged");
  assert.equal(judgement?.foundHash, sha256(bad));
  assert.deepEqual(judgement?.ranges, [
    [0, it.list.offset(1)],
    [it.list.offset(4), it.list.offset(6)],
    [it.list.offset(it.list.count - 1), GOOD.length],
  ]);
});

Deno.test("judge: without a list, or with one of another size, the whole file is the range", async () => {
  await using it = await remembered();
  await Deno.writeFile(it.file, GOOD.slice().fill(0, 10, 20));
  const expected = await it.expected();
  const shorter = ChunkList.parse(it.list.bytes.slice(0, -12));
  for (const list of [null, shorter]) {
    assert.deepEqual((await judgeWith(it.tree, expected, list))?.ranges, [[0, GOOD.length]]);
  }
});

Deno.test("judge: an edit is no damage, nor is what is missing, no file any more, or not certain", async () => {
  await using it = await remembered();
  const expected = await it.expected();
  assert.equal((await judgeWith(it.tree, { ...expected, hash: null }, null))?.verdict, "unverified");
  await Deno.writeTextFile(it.file, "edited");
  assert.equal((await judgeWith(it.tree, expected, null))?.verdict, "changed");
  await Deno.remove(it.file);
  assert.equal((await judgeWith(it.tree, expected, null))?.verdict, "missing");
  await Deno.mkdir(it.file);
  assert.equal((await judgeWith(it.tree, expected, null))?.verdict, "changed");
  await Deno.remove(it.file);
  await Deno.symlink("elsewhere", it.file);
  assert.equal((await judgeWith(it.tree, expected, null))?.verdict, "changed");
});

Deno.test("judge: a file that is written while it is read is being changed, whatever was read", async () => {
  await using it = await remembered();
  await Deno.writeFile(it.file, GOOD.slice().fill(0, 10, 20));
  const expected = await it.expected();
  let once = true;
  const judgement = await judge({
    tree: it.tree,
    slices: new Slices(clock),
    stopped: () => false,
    onRead: () => {
      if (once) Deno.writeTextFileSync(it.file, "more", { append: true });
      once = false;
    },
    listFor: () => Promise.resolve(it.list),
  }, expected);
  assert.equal(judgement?.verdict, "changed");
});

Deno.test("a list of damage says which chunks are not there any more, and nothing else", async () => {
  await using it = await remembered();
  const { list } = it;
  const damaged = ChunkList.parse(damagedList(list.bytes, [[list.offset(3) + 5, list.offset(4) + 1]]))!;
  assert.equal(damaged.count, list.count);
  const view = new DataView(list.bytes.slice().buffer);
  for (let i = 0; i < list.count; i++) {
    assert.equal(damaged.length(i), list.length(i));
    const words = Array.from({ length: list.parts }, (_, part) => i * (1 + list.parts) + 1 + part);
    const mark = words.map((word) => view.getUint32(4 + word * 4, true));
    assert.equal(damaged.has(i, mark), i !== 3 && i !== 4, `chunk ${i}`);
  }
});

Deno.test("lists of findings and of ranges are bounded, and what needs nobody hides nothing", () => {
  const list = new FindingList();
  const finding = { side: "watched", path: "p", sizeBytes: 1, ranges: [], reason: null } as const;
  for (let i = 0; i < 2_000; i++) list.add({ ...finding, verdict: "changed" });
  for (let i = 0; i < 9_500; i++) list.add({ ...finding, verdict: "damaged" });
  assert.equal(list.findings.filter(({ verdict }) => verdict === "changed").length, 1_000);
  assert.equal(list.findings.length, 10_000);
  assert.equal(list.more, 1_500);
  const nothing = { files: 0, bytes: 0 };
  const report = { watched: nothing, synced: nothing, findings: list.findings, more: list.more };
  assert.deepEqual(parseReport(JSON.parse(JSON.stringify(report))), report);
  for (const wrong of [null, {}, { ...report, more: -1 }, { ...report, findings: [{ ...finding }] }]) {
    assert.equal(parseReport(wrong), null);
  }
  const ranges = new RangeList();
  for (let i = 0; i < 5_000; i++) ranges.add(i * 10, i * 10 + 5);
  assert.equal(ranges.ranges.length, 1_000);
  assert.deepEqual(ranges.ranges.at(-1), [9_990, 49_995]);
});
