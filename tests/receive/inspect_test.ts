import assert from "node:assert/strict";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { operation } from "../helpers/plain_client.ts";
import { exists, filesWithContent, put } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { copiesIn, namesIn } from "./support.ts";

const MTIME_MS = Date.parse("2026-03-04T05:06:07.089Z");

/** A mirror of two files in a folder, one file at the top and an empty folder. */
async function mirror(): Promise<ReceiveBench> {
  const bench = await ReceiveBench.open();
  const anna = bench.link();
  await anna.accepted(operation("create", "d/a", "a1"), "a1");
  await anna.accepted(operation("create", "d/b", "b1"), "b1");
  await anna.accepted(operation("create", "top", "t1"), "t1");
  await anna.accepted(folder("create", "d"));
  await anna.accepted(folder("create", "empty"));
  await bench.rest();
  return bench;
}

function has(bench: ReceiveBench, path: string): boolean {
  return bench.store.synced.get(bench.anna.number, path as RelativePath) !== null;
}

Deno.test("inspect: what nobody touched stays, and is not read", async () => {
  await using bench = await mirror();
  const reads: unknown[] = [];
  bench.tree.before = ({ method, args }) => {
    if (method === "openRead") reads.push(args[0]);
  };
  await bench.receiver.inspect(bench.anna);
  assert.deepEqual(reads, []);
  assert.deepEqual(await namesIn(bench.synced), ["d", "d/a", "d/b", "empty", "top"]);
  assert.equal([...bench.store.synced.each(bench.anna.number)].length, 5);
});

Deno.test("inspect: an edited file becomes a conflict copy and is to be fetched again", async () => {
  await using bench = await mirror();
  await Deno.writeTextFile(`${bench.synced}/d/a`, "by hand");
  await bench.receiver.inspect(bench.anna);
  assert.equal(has(bench, "d/a"), false);
  assert.deepEqual(await filesWithContent(bench.synced, "by hand"), await copiesIn(bench.synced));
  assert.equal((await copiesIn(bench.synced)).length, 1);
  assert.ok(bench.store.log.newest(10, null).some((row) => row.action === "conflict"), "the log says so");
  await bench.receiver.inspect(bench.anna);
  assert.equal((await copiesIn(bench.synced)).length, 1, "a conflict copy is nobody's: it stays as it is");
});

Deno.test("inspect: a touched file gets its time back, a changed mode its mode, without a conflict copy", async () => {
  await using bench = await mirror();
  await Deno.utime(`${bench.synced}/d/a`, new Date(), new Date());
  await Deno.chmod(`${bench.synced}/d/b`, 0o755);
  await bench.receiver.inspect(bench.anna);
  assert.equal((await Deno.stat(`${bench.synced}/d/a`)).mtime?.getTime(), MTIME_MS);
  assert.equal((await Deno.stat(`${bench.synced}/d/b`)).mode! & 0o111, 0);
  assert.deepEqual(await copiesIn(bench.synced), []);
  assert.equal(has(bench, "d/a") && has(bench, "d/b"), true);
});

Deno.test("inspect: deleted files and folders are to be fetched again", async () => {
  await using bench = await mirror();
  await Deno.remove(`${bench.synced}/d`, { recursive: true });
  await Deno.remove(`${bench.synced}/empty`);
  await bench.receiver.inspect(bench.anna);
  for (const path of ["d", "d/a", "d/b", "empty"]) assert.equal(has(bench, path), false, path);
  assert.equal(has(bench, "top"), true);
});

Deno.test("inspect: a folder that was replaced by a file: the file is kept when the folder comes back", async () => {
  await using bench = await mirror();
  await Deno.remove(`${bench.synced}/d`, { recursive: true });
  await Deno.writeTextFile(`${bench.synced}/d`, "my file");
  await bench.receiver.inspect(bench.anna);
  for (const path of ["d", "d/a", "d/b"]) assert.equal(has(bench, path), false, path);
  const anna = bench.link();
  await anna.accepted(folder("create", "d"));
  await anna.accepted(operation("create", "d/a", "a1"), "a1");
  assert.equal(await Deno.readTextFile(`${bench.synced}/d/a`), "a1");
  assert.equal((await filesWithContent(bench.synced, "my file")).length, 1);
});

Deno.test("inspect: a file that was replaced by a folder is to be fetched again, the folder stays", async () => {
  await using bench = await mirror();
  await Deno.remove(`${bench.synced}/top`);
  await put(`${bench.synced}/top/mine`, "mine");
  await bench.receiver.inspect(bench.anna);
  assert.equal(has(bench, "top"), false);
  assert.equal(await Deno.readTextFile(`${bench.synced}/top/mine`), "mine");
});

Deno.test("inspect: a symlink planted over a folder: nothing behind it is touched", async () => {
  await using bench = await mirror();
  await Deno.mkdir(`${bench.folder}/outside`);
  await put(`${bench.folder}/outside/a`, "a1 but not ours");
  await put(`${bench.folder}/outside/b`, "b1");
  const before = await Deno.stat(`${bench.folder}/outside/b`);
  await Deno.remove(`${bench.synced}/d`, { recursive: true });
  await Deno.symlink(`${bench.folder}/outside`, `${bench.synced}/d`);
  await bench.receiver.inspect(bench.anna);
  assert.deepEqual(await namesIn(`${bench.folder}/outside`), ["a", "b"]);
  assert.equal(
    (await Deno.stat(`${bench.folder}/outside/b`)).mtime?.getTime(),
    before.mtime?.getTime(),
  );
  assert.equal(has(bench, "d/a"), false);
  assert.equal((await Deno.lstat(`${bench.synced}/d`)).isSymlink, true);
});

Deno.test("inspect: a symlink planted over a file is not followed", async () => {
  await using bench = await mirror();
  await put(`${bench.folder}/target`, "t1");
  await Deno.remove(`${bench.synced}/top`);
  await Deno.symlink(`${bench.folder}/target`, `${bench.synced}/top`);
  await bench.receiver.inspect(bench.anna);
  assert.equal(has(bench, "top"), false);
  assert.equal(await Deno.readTextFile(`${bench.folder}/target`), "t1");
});

Deno.test("inspect: the files of another peer, and those of nobody, are left alone", async () => {
  await using bench = await mirror();
  await bench.link(bench.bert).accepted(operation("create", "berts", "b"), "b");
  await put(`${bench.synced}/own`, "mine");
  await Deno.writeTextFile(`${bench.synced}/berts`, "by hand");
  await bench.receiver.inspect(bench.anna);
  assert.deepEqual(await copiesIn(bench.synced), []);
  assert.equal(await exists(`${bench.synced}/own`), true);
});
