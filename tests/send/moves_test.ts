import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { eventually } from "../helpers/eventually.ts";
import { replanPath } from "../../src/send/pending_plan.ts";
import { assertGone, assertSameTree, exists, snapshot } from "../helpers/tree.ts";
import { copiesIn } from "../receive/support.ts";
import { Both } from "./both.ts";

/** Bytes that no other seed has, and that do not shrink. */
function bytesOf(seed: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0, i = 0; at < length; at += 32, i++) {
    bytes.set(createHash("sha256").update(`${seed} ${i}`).digest().subarray(0, length - at), at);
  }
  return bytes;
}

/** Two sides that agree on a folder with files of all sizes in it. */
async function withFolder(): Promise<Both> {
  const both = await Both.mirrored();
  await both.out.write("album/large.bin", bytesOf("large", 1_000_000));
  await both.out.write("album/middle.bin", bytesOf("middle", 50_000));
  await both.out.write("album/deep/er/small.txt", "small");
  await both.out.observe(
    "album",
    "album/large.bin",
    "album/middle.bin",
    "album/deep",
    "album/deep/er",
    "album/deep/er/small.txt",
  );
  await both.same();
  return both;
}

const ALBUM = [
  "album",
  "album/large.bin",
  "album/middle.bin",
  "album/deep",
  "album/deep/er",
  "album/deep/er/small.txt",
];

/** What a scan tells after a folder was renamed: the new names first, then that the old ones are gone. */
async function observeRename(both: Both, from: string, to: string, paths: readonly string[]): Promise<void> {
  await both.out.observe(...paths.map((path) => to + path.slice(from.length)));
  await both.out.observe(...paths.toReversed());
}

/** Bytes that the sender has written to the link since `before`. */
function sentSince(both: Both, before: number): number {
  return both.out.link!.bytesWritten - before;
}

Deno.test("moves: a folder that was renamed is renamed there, in one operation", async () => {
  await using both = await withFolder();
  const inode = (await Deno.stat(`${both.into.synced}/album/large.bin`)).ino;
  const before = both.out.link!.bytesWritten;
  await Deno.rename(`${both.out.watched}/album`, `${both.out.watched}/pictures`);
  await observeRename(both, "album", "pictures", ALBUM);
  await both.same();
  assert.equal((await Deno.stat(`${both.into.synced}/pictures/large.bin`)).ino, inode);
  assert.ok(sentSince(both, before) < 5000, `${sentSince(both, before)} bytes were sent`);
  const [row] = both.into.store.log.newest(1, "pictures");
  assert.deepEqual([row?.action, row?.from, row?.status], ["move", "album", "ok"]);
  await both.into.rest();
});

Deno.test("moves: what was changed in a renamed folder is brought in line after it", async () => {
  await using both = await withFolder();
  await Deno.rename(`${both.out.watched}/album`, `${both.out.watched}/pictures`);
  await Deno.remove(`${both.out.watched}/pictures/middle.bin`);
  await Deno.writeTextFile(`${both.out.watched}/pictures/new.txt`, "new");
  await observeRename(both, "album", "pictures", ALBUM);
  await both.out.observe("pictures/new.txt");
  await both.same();
  assert.equal(
    both.into.store.log.newest(100, "pictures").filter(({ action }) => action === "move").length,
    1,
  );
});

Deno.test("moves: a folder that holds a file of the reader stays, the peer's files move out of it", async () => {
  await using both = await withFolder();
  await Deno.writeTextFile(`${both.into.synced}/album/mine.txt`, "mine");
  const before = both.out.link!.bytesWritten;
  await Deno.rename(`${both.out.watched}/album`, `${both.out.watched}/pictures`);
  await observeRename(both, "album", "pictures", ALBUM);
  await both.out.inSync();
  await eventually("only the reader's file is left", async () => {
    assert.deepEqual([...Deno.readDirSync(`${both.into.synced}/album`)].map(({ name }) => name), [
      "mine.txt",
    ]);
    assert.deepEqual(
      await Deno.readFile(`${both.into.synced}/pictures/large.bin`),
      bytesOf("large", 1_000_000),
    );
  });
  assert.equal(await Deno.readTextFile(`${both.into.synced}/album/mine.txt`), "mine");
  assert.ok(sentSince(both, before) < 10_000, `${sentSince(both, before)} bytes were sent`);
});

Deno.test("moves: an edit by hand in a folder that is moved becomes a conflict copy", async () => {
  await using both = await withFolder();
  await Deno.writeTextFile(`${both.into.synced}/album/middle.bin`, "edited here");
  await Deno.rename(`${both.out.watched}/album`, `${both.out.watched}/pictures`);
  await observeRename(both, "album", "pictures", ALBUM);
  await both.out.inSync();
  assert.deepEqual(await Deno.readFile(`${both.into.synced}/pictures/middle.bin`), bytesOf("middle", 50_000));
  const copies = await copiesIn(both.into.synced);
  assert.equal(copies.length, 1);
  assert.equal(await Deno.readTextFile(`${both.into.synced}/${copies[0]}`), "edited here");
});

Deno.test("moves: a file that was renamed is renamed there, and one that was changed besides costs its changes", async () => {
  await using both = await withFolder();
  const inode = (await Deno.stat(`${both.into.synced}/album/large.bin`)).ino;
  let before = both.out.link!.bytesWritten;
  await Deno.rename(`${both.out.watched}/album/large.bin`, `${both.out.watched}/moved.bin`);
  await both.out.observe("moved.bin");
  await both.out.observe("album/large.bin");
  await both.same();
  assert.equal((await Deno.stat(`${both.into.synced}/moved.bin`)).ino, inode);
  assert.ok(sentSince(both, before) < 5000, `${sentSince(both, before)} bytes were sent`);

  before = both.out.link!.bytesWritten;
  await Deno.rename(`${both.out.watched}/moved.bin`, `${both.out.watched}/again.bin`);
  const changed = bytesOf("large", 1_000_000);
  changed.fill(0, 500_000, 500_010);
  await Deno.writeFile(`${both.out.watched}/again.bin`, changed);
  await both.out.observe("again.bin");
  await both.out.observe("moved.bin");
  await both.same();
  assert.ok(sentSince(both, before) < 20_000, `${sentSince(both, before)} bytes were sent`);
});

Deno.test("moves: a file that is moved over one that the reader has put there makes a conflict copy", async () => {
  await using both = await withFolder();
  await Deno.writeTextFile(`${both.into.synced}/moved.bin`, "mine");
  await Deno.rename(`${both.out.watched}/album/large.bin`, `${both.out.watched}/moved.bin`);
  await both.out.observe("moved.bin");
  await both.out.observe("album/large.bin");
  await both.out.inSync();
  assert.deepEqual(await Deno.readFile(`${both.into.synced}/moved.bin`), bytesOf("large", 1_000_000));
  const copies = await copiesIn(both.into.synced);
  assert.equal(await Deno.readTextFile(`${both.into.synced}/${copies[0]}`), "mine");
});

Deno.test("moves: a copy costs no content, whatever became of what it was copied from", async () => {
  await using both = await withFolder();
  const before = both.out.link!.bytesWritten;
  for (const [name, seed, length] of [["large", "large", 1_000_000], ["middle", "middle", 50_000]] as const) {
    await both.out.write(`copy of ${name}`, bytesOf(seed, length));
    await both.out.observe(`copy of ${name}`);
  }
  await both.same();
  assert.ok(sentSince(both, before) < 5000, `${sentSince(both, before)} bytes were sent`);
});

Deno.test("moves: copies that come together travel once", async () => {
  await using both = await withFolder();
  const before = both.out.link!.bytesWritten;
  const paths = ["one", "two", "three"];
  for (const path of paths) await both.out.write(path, bytesOf("three times", 3_000_000));
  // One that only looks like them from afar.
  const other = bytesOf("three times", 3_000_000);
  other.fill(0, 1_000_000, 1_300_000);
  await both.out.write("other", other);
  await both.out.observe(...paths, "other");
  await both.same();
  assert.ok(sentSince(both, before) < 3_500_000, `${sentSince(both, before)} bytes were sent`);
});

Deno.test("moves: a copy that is renamed just when it is found to be one arrives under its new name", async () => {
  await using both = await Both.mirrored();
  const { out, into } = both;
  const content = bytesOf("copied and renamed", 1_500_000);
  await out.write("first", content);
  await out.write("copy", content);
  const gates = { look: Promise.withResolvers<void>(), commit: Promise.withResolvers<void>() };
  let isLookedAt = false;
  out.tree.before = ({ method, args }) => {
    if (method !== "readAt" || args[0] !== "copy") return undefined;
    isLookedAt = true;
    return gates.look.promise;
  };
  // The first one is sent, and not answered yet.
  into.tree.before = ({ method }) =>
    /move|rename|place|link|flush/i.test(method) ? gates.commit.promise : undefined;
  await out.observe("first");
  await eventually(
    "all of it was sent",
    () => assert.equal(out.sender.transfers()[0]?.doneBytes, content.length),
  );
  await out.observe("copy");
  await eventually("it is looked at", () => assert.ok(isLookedAt));
  await Deno.rename(`${out.watched}/copy`, `${out.watched}/renamed`);
  await out.observe("renamed", "copy");
  gates.look.resolve();
  await eventually("it was looked at", () => assert.equal(out.row("renamed")?.state, "waiting"));
  gates.commit.resolve();
  await both.same();
});

Deno.test("moves: a change of a file that looks like another one on its way does not wait for that", async () => {
  await using both = await Both.mirrored();
  const { out, into } = both;
  const image = (middle: string) => {
    const bytes = new Uint8Array(2_000_000);
    bytes.set(bytesOf("the same head", 8192));
    bytes.set(bytesOf(middle, 300_000), 300_000);
    return bytes;
  };
  await out.write("vm1", image("one"));
  await out.observe("vm1");
  await both.same();
  const gate = Promise.withResolvers<void>();
  into.tree.before = ({ method }) => method === "write" ? gate.promise : undefined;
  await out.write("vm2", image("two"));
  await out.observe("vm2");
  await eventually("it is on its way", () => assert.equal(out.sender.transfers().length, 1));
  await out.write("vm1", image("three"));
  await out.observe("vm1");
  await eventually("both are", () => assert.equal(out.sender.transfers().length, 2));
  gate.resolve();
  await both.same();
});

Deno.test("moves: what was packed into an archive, or unpacked from one, costs little more than its names", async () => {
  await using both = await withFolder();
  // The parts of an archive stand somewhere in it, between headers, and no part is the whole of it.
  const parts = ["one", "two", "three"].map((seed) => bytesOf(seed, 700_000));
  const header = new Uint8Array(512).fill(7);
  const archive = new Uint8Array(
    await new Blob(parts.flatMap((part) => [header, part]) as BlobPart[]).arrayBuffer(),
  );
  await both.out.write("all.tar", archive);
  await both.out.observe("all.tar");
  await both.same();
  let before = both.out.link!.bytesWritten;
  for (const [i, part] of parts.entries()) await both.out.write(`un/${i}`, part);
  await both.out.observe("un", "un/0", "un/1", "un/2");
  await both.same();
  assert.ok(sentSince(both, before) < 60_000, `unpacking sent ${sentSince(both, before)} bytes`);

  await both.out.write("new/x", bytesOf("x", 900_000));
  await both.out.write("new/y", bytesOf("y", 900_000));
  await both.out.observe("new", "new/x", "new/y");
  await both.same();
  before = both.out.link!.bytesWritten;
  const packed = await new Blob([header, bytesOf("x", 900_000), header, bytesOf("y", 900_000)] as BlobPart[])
    .bytes();
  await both.out.write("new.tar", packed);
  await both.out.observe("new.tar");
  await both.same();
  assert.ok(sentSince(both, before) < 150_000, `packing sent ${sentSince(both, before)} bytes`);
});

Deno.test("moves: what was copied from is checked: a spoiled file is not passed on", async () => {
  await using both = await withFolder();
  // Other content under the stat of before: a disk that has lost bytes.
  const { store, anna, tree } = both.into;
  const path = "album/large.bin" as RelativePath;
  const row = store.synced.get(anna.number, path)!;
  const bad = bytesOf("large", 1_000_000);
  bad[700_000] = bad[700_000]! ^ 1;
  await Deno.writeFile(`${both.into.synced}/${path}`, bad);
  store.synced.put({ ...row, disk: (await tree.lstat(path))! });
  await both.out.write("copy", bytesOf("large", 1_000_000));
  await both.out.observe("copy");
  await both.out.inSync();
  assert.deepEqual(await Deno.readFile(`${both.into.synced}/copy`), bytesOf("large", 1_000_000));
  assert.equal(store.log.newest(100, path).filter(({ action }) => action === "damage").length, 1);
  assert.deepEqual(both.into.damaged, [path]);
});

Deno.test("moves: a chain of renames, and two folders that change their names, end right", async () => {
  await using both = await withFolder();
  const { watched } = both.out;
  await both.out.write("other/x.bin", bytesOf("x", 300_000));
  await both.out.observe("other", "other/x.bin");
  await both.same();
  await Deno.rename(`${watched}/album`, `${watched}/tmp`);
  await Deno.rename(`${watched}/other`, `${watched}/album`);
  await Deno.rename(`${watched}/tmp`, `${watched}/other`);
  await both.out.observe(
    ...["album", "album/x.bin", ...ALBUM.slice(1)],
    ...["other", ...ALBUM.slice(1).map((path) => `other${path.slice(5)}`), "other/x.bin"],
  );
  await both.same();
  assertSameTree(await snapshot(watched), await snapshot(both.into.synced));
});

Deno.test("moves: what is still there when it is to be deleted, and goes before the observer has seen it, is deleted", async () => {
  await using both = await withFolder();
  const { out, into } = both;
  const path = "album/middle.bin" as RelativePath;
  // As after the ack of a move: acknowledged, not observed yet, and still on the disk.
  out.store.transaction(() => {
    out.store.observed.remove(path);
    replanPath(out.store, out.peer, path, Date.now());
  });
  out.sender.note([path]);
  await eventually("it was found there, and not deleted", () => assert.equal(out.row(path), null));
  assert.ok(await exists(`${into.synced}/${path}`));
  await Deno.remove(`${out.watched}/${path}`);
  await assertGone(`${into.synced}/${path}`);
});
