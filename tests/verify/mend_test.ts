import assert from "node:assert/strict";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { Store } from "../../src/store/store.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { type MendParts, mendWatched, sweepMends } from "../../src/verify/mend.ts";
import { exists, sha256 } from "../helpers/tree.ts";
import { tempFolder } from "../receive/support.ts";

const GOOD = new TextEncoder().encode("what was saved, and what the peer holds");
const PATH = "d/file" as RelativePath;

/** A damaged file of `watched/`, whose right content the peer holds. */
async function damaged() {
  const temp = await tempFolder();
  const store = new Store(":memory:");
  const tree = new DiskTree(temp.path);
  await Deno.mkdir(`${temp.path}/d`);
  const file = `${temp.path}/${PATH}`;
  await Deno.writeFile(file, GOOD.slice().fill(0, 3, 5), { mode: 0o640 });
  const stat = (await tree.lstat(PATH))!;
  store.observed.put({
    ...{ path: PATH, diskPath: PATH, kind: "file", sizeBytes: stat.sizeBytes, mtimeMs: stat.mtimeMs },
    ...{ ctimeMs: stat.ctimeMs, inode: stat.inode, device: stat.device, executable: false },
    ...{ hash: sha256(GOOD), provisional: false, held: null },
  });
  const parts: MendParts = {
    ...{ store, tree, clock: new SystemClock(), random: new SystemRandom(), stopped: () => false },
    listFor: () => Promise.resolve(null),
    fetch: (_, offset, length) => Promise.resolve(GOOD.subarray(offset, offset + length)),
  };
  return {
    parts,
    file,
    root: temp.path,
    async [Symbol.asyncDispose]() {
      store[Symbol.dispose]();
      await temp[Symbol.asyncDispose]();
    },
  };
}

Deno.test("mend: the right content is put in place, with mode and times, and a row in the log", async () => {
  await using it = await damaged();
  const before = await Deno.stat(it.file);
  assert.deepEqual(await mendWatched(it.parts, PATH), [[0, GOOD.length]]);
  assert.deepEqual(await Deno.readFile(it.file), GOOD);
  const after = await Deno.stat(it.file);
  assert.deepEqual([after.mode, Math.floor(after.mtime!.getTime())], [
    before.mode,
    Math.floor(before.mtime!.getTime()),
  ]);
  assert.equal(await exists(`${it.root}/.mirrorsync-staging`), false);
  assert.deepEqual(it.parts.store.log.newest(5, null).map(({ action, path }) => [action, path]), [[
    "damage",
    PATH,
  ]]);
});

Deno.test("mend: a file that is edited, replaced or deleted meanwhile is left as it is", async () => {
  const edits: Record<string, (file: string) => Promise<void>> = {
    edited: (file) => Deno.writeTextFile(file, "an edit", { append: true }),
    replaced: async (file) => {
      await Deno.writeTextFile(`${file}.new`, "an edit");
      await Deno.rename(`${file}.new`, file);
    },
    deleted: (file) => Deno.remove(file),
  };
  for (const [what, edit] of Object.entries(edits)) {
    await using it = await damaged();
    let left: string | null = null;
    const fetch: MendParts["fetch"] = async (path, offset, length) => {
      await edit(it.file);
      left = await Deno.readTextFile(it.file).catch(() => null);
      return await it.parts.fetch(path, offset, length);
    };
    await assert.rejects(mendWatched({ ...it.parts, fetch }, PATH), what);
    assert.equal(await Deno.readTextFile(it.file).catch(() => null), left, what);
    assert.equal(await exists(`${it.root}/.mirrorsync-staging`), false, what);
  }
});

Deno.test("mend: wrong, short or no bytes from the peer change nothing", async () => {
  const lies: MendParts["fetch"][] = [
    (_, __, length) => Promise.resolve(new Uint8Array(length)),
    (_, offset) => Promise.resolve(GOOD.subarray(offset, offset + 3)),
    (_, offset, length) => Promise.resolve(new Uint8Array([...GOOD.subarray(offset, offset + length), 1])),
  ];
  for (const fetch of lies) {
    await using it = await damaged();
    const before = await Deno.readFile(it.file);
    const stat = await it.parts.tree.lstat(PATH);
    await assert.rejects(mendWatched({ ...it.parts, fetch }, PATH), { name: "MirrorError" });
    assert.deepEqual(await Deno.readFile(it.file), before);
    assert.deepEqual(await it.parts.tree.lstat(PATH), stat);
    assert.equal(await exists(`${it.root}/.mirrorsync-staging`), false);
  }
});

Deno.test("mend: a file that is as it should be is left alone, and nothing is fetched, whatever the peer says", async () => {
  await using it = await damaged();
  await Deno.writeFile(it.file, GOOD);
  const stat = (await it.parts.tree.lstat(PATH))!;
  it.parts.store.observed.put({
    ...it.parts.store.observed.get(PATH)!,
    ...{ mtimeMs: stat.mtimeMs, ctimeMs: stat.ctimeMs },
  });
  const fetch: MendParts["fetch"] = () => Promise.reject(new Error("nothing need be fetched"));
  assert.deepEqual(await mendWatched({ ...it.parts, fetch }, PATH), []);
  assert.deepEqual(await it.parts.tree.lstat(PATH), stat, "not even replaced by the same content");
  assert.deepEqual(it.parts.store.log.newest(5, null), []);
});

Deno.test("mend: what a killed repair has left is swept, and nothing else", async () => {
  await using it = await damaged();
  const staging = `${it.root}/.mirrorsync-staging`;
  await Deno.mkdir(staging);
  await Deno.writeTextFile(`${staging}/mend-left`, "x");
  await Deno.writeTextFile(`${staging}/somebody's`, "x");
  await sweepMends(it.parts.tree);
  assert.deepEqual([...Deno.readDirSync(staging)].map(({ name }) => name), ["somebody's"]);
  await Deno.remove(`${staging}/somebody's`);
  await sweepMends(it.parts.tree);
  assert.equal(await exists(staging), false);
});
