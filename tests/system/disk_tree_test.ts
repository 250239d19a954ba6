import assert from "node:assert/strict";
import { FileError, type FileErrorCode, type TreeWatcher, type WatchEvent } from "../../src/domain/ports.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { toFileError, toWatchError } from "../../src/system/file_errors.ts";
import { eventually, within } from "../helpers/eventually.ts";

const unix = Deno.build.os !== "windows";
const linux = Deno.build.os === "linux";

/** A test with a folder of its own. */
function diskTest(
  name: string,
  body: (tree: DiskTree, root: string) => Promise<void>,
  ignore = false,
): void {
  Deno.test({
    name,
    ignore,
    fn: async () => {
      const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "mirrorsync disk " }));
      try {
        await body(new DiskTree(root), root);
      } finally {
        await Deno.remove(root, { recursive: true });
      }
    },
  });
}

function fails(code: FileErrorCode, ...words: string[]): (error: unknown) => true {
  return (error) => {
    assert(error instanceof FileError, `not a FileError: ${error}`);
    assert.equal(error.code, code, error.message);
    for (const word of words) assert(error.message.includes(word), `${word} is missing in: ${error.message}`);
    return true;
  };
}

function python(script: string): void {
  const { success, stderr } = new Deno.Command("python3", { args: ["-c", script] }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}

const text = (value: string) => new TextEncoder().encode(value);

diskTest("a stat by path and a stat of the open file agree, whatever the time", async (tree, root) => {
  await Deno.writeTextFile(`${root}/f`, "abc");
  for (const ms of [0, 1, 999, -1, -1000, -5500, 1_700_000_000_123, 3_863_832_816_212, 15_000_000_000_000]) {
    await tree.setTimes("f", ms);
    const byPath = await tree.lstat("f");
    assert.equal(byPath?.mtimeMs, ms);
    const handle = await tree.openRead("f");
    assert.deepEqual(await handle.stat(), byPath);
    handle.close();
  }
});

diskTest("a small file is read in one go, with a look at it", async (tree, root) => {
  await Deno.writeTextFile(`${root}/f`, "abc");
  const stat = await tree.lstat("f");
  assert.deepEqual(await tree.readSmall("f", 3), { content: text("abc"), stat });
  assert.deepEqual(await tree.readSmall("f", 2), { content: text("ab"), stat });
  assert.deepEqual(await tree.readSmall("f", 9), { content: text("abc"), stat });
  await Deno.writeTextFile(`${root}/f`, "");
  assert.equal((await tree.readSmall("f", 0)).content.length, 0);
});

diskTest("what is not there is null, also below a file", async (tree, root) => {
  await Deno.writeTextFile(`${root}/f`, "abc");
  assert.equal(await tree.lstat("nothing"), null);
  assert.equal(await tree.lstat("f/below"), null);
  assert.equal((await tree.lstat(""))?.kind, "folder");
});

diskTest("symlinks, pipes and folders are told apart and never read, nor waited for", async (tree, root) => {
  await Deno.mkdir(`${root}/folder`);
  await Deno.writeTextFile(`${root}/target`, "secret");
  await Deno.symlink("target", `${root}/link`);
  python(
    `import os, socket; os.mkfifo("${root}/pipe"); socket.socket(socket.AF_UNIX).bind("${root}/socket")`,
  );
  const kinds = new Map((await tree.list("")).map((entry) => [entry.name, entry.stat?.kind]));
  assert.deepEqual(
    [...kinds].sort(),
    [["folder", "folder"], ["link", "symlink"], ["pipe", "special"], ["socket", "special"], [
      "target",
      "file",
    ]],
  );
  await assert.rejects(tree.openRead("link"), fails("symlink", "link", "symbolic link"));
  await assert.rejects(within("a pipe", 2000, tree.openRead("pipe")), fails("unsupported", "pipe"));
  await assert.rejects(tree.openRead("socket"), fails("unsupported"));
  await assert.rejects(tree.openRead("folder"), fails("is_folder"));
  await assert.rejects(tree.openRead("none"), fails("not_found", "none"));
  await assert.rejects(tree.readSmall("link", 4), fails("symlink", "link", "symbolic link"));
  await assert.rejects(within("a pipe", 2000, tree.readSmall("pipe", 4)), fails("unsupported", "pipe"));
  await assert.rejects(tree.readSmall("socket", 4), fails("unsupported"));
  await assert.rejects(tree.readSmall("folder", 4), fails("is_folder"));
  await assert.rejects(tree.readSmall("none", 4), fails("not_found", "none"));
  await assert.rejects(tree.setTimes("link", 0), fails("symlink"));
  await assert.rejects(tree.setExecutable("link", true), fails("symlink"));
  assert.equal(await Deno.readTextFile(`${root}/target`), "secret");
}, !unix);

diskTest("zeros are left out as holes, wherever they are, and read as zeros", async (tree, root) => {
  const block = 64 * 1024, blocks = 64;
  const bytes = new Uint8Array(blocks * block + 777);
  // Bytes at the start, in the middle of a block, two at its ends alone, and zeros up to the very end.
  for (const at of [0, 10 * block + 5, 20 * block, 21 * block - 1, 30 * block + 1]) bytes[at] = 7;
  const handle = await tree.create("sparse");
  for (let done = 0; done < bytes.length; done += 300_000) {
    await handle.write(bytes.subarray(done, done + 300_000));
  }
  // What is written is the size at once: it is what a transfer that was cut goes on from.
  assert.equal((await handle.stat()).sizeBytes, bytes.length);
  handle.cutTo(40 * block);
  await handle.write(bytes.subarray(40 * block));
  await handle.flush();
  handle.close();
  assert.deepEqual(await Deno.readFile(`${root}/sparse`), bytes);
  const again = await tree.reopen("sparse");
  await again.write(new Uint8Array(3 * block));
  await again.write(text("end"));
  again.close();
  const read = await Deno.readFile(`${root}/sparse`);
  assert.equal(read.length, bytes.length + 3 * block + 3);
  assert.deepEqual(read.subarray(-4), new Uint8Array([0, ...text("end")]));
  const { blocks: taken } = await Deno.stat(`${root}/sparse`);
  if (taken !== null) assert.ok(taken * 512 < 12 * block, `${taken * 512} bytes are taken`);
});

diskTest(
  "a new file is written, read at any place, large and small, and never replaces one",
  async (tree, root) => {
    const large = new Uint8Array(3 * 1024 * 1024 + 5);
    for (let i = 0; i < large.length; i++) large[i] = i * 31 >> 3;
    const handle = await tree.create("new");
    await handle.write(text("head"));
    await handle.write(large);
    handle.setTimes(1_234_567_890_123);
    await handle.flush();
    const stat = await handle.stat();
    handle.close();
    assert.deepEqual(stat, await tree.lstat("new"));
    assert.equal(stat.sizeBytes, large.length + 4);
    assert.equal(stat.mtimeMs, 1_234_567_890_123);
    await assert.rejects(tree.create("new"), fails("exists", "new"));

    const reader = await tree.openRead("new");
    const back = new Uint8Array(large.length + 100);
    assert.equal(await reader.readAt(back, 4), large.length);
    assert.deepEqual(back.subarray(0, large.length), large);
    const few = new Uint8Array(10);
    assert.equal(await reader.readAt(few, large.length), 4);
    assert.equal(await reader.readAt(few, large.length + 4), 0);
    // Several reads at a time, and a close while they run: nobody may get another file's bytes.
    const parts = [0, 1, 2].map(async (i) => {
      const part = new Uint8Array(1024 * 1024);
      const count = await reader.readAt(part, 4 + i * part.length);
      return [count, part[7], part[part.length - 1]];
    });
    reader.close();
    assert.deepEqual(
      await Promise.all(parts),
      [0, 1, 2].map((i) => [1024 * 1024, large[i * 1024 * 1024 + 7], large[(i + 1) * 1024 * 1024 - 1]]),
    );
    await assert.rejects(reader.stat(), fails("io", "closed"));
    assert.equal(await Deno.readTextFile(`${root}/new`).then((t) => t.slice(0, 4)), "head");
  },
);

diskTest("the executable bit goes to whoever may read, and goes away for all", async (tree, root) => {
  const handle = await tree.create("script");
  handle.setExecutable(true);
  assert.equal((await handle.stat()).executable, true);
  handle.close();
  const mode = () => (Deno.lstatSync(`${root}/script`).mode ?? 0) & 0o777;
  Deno.chmodSync(`${root}/script`, 0o640);
  await tree.setExecutable("script", true);
  assert.equal(mode(), 0o750);
  await tree.setExecutable("script", false);
  assert.equal(mode(), 0o640);
  assert.equal((await tree.lstat("script"))?.executable, false);
}, !unix);

diskTest("link, rename, unlink, mkdir and rmdir do that and nothing else", async (tree, root) => {
  await Deno.writeTextFile(`${root}/a`, "a");
  await tree.link("a", "b");
  assert.equal((await tree.lstat("a"))?.inode, (await tree.lstat("b"))?.inode);
  await assert.rejects(tree.link("a", "b"), fails("exists", "b"));
  await tree.mkdir("folder");
  await assert.rejects(tree.mkdir("folder"), fails("exists"));
  await assert.rejects(tree.mkdir("no/where"), fails("not_found"));
  await assert.rejects(tree.mkdir("a/below"), fails("not_folder"));
  await assert.rejects(tree.link("folder", "c"), fails("is_folder"));
  await assert.rejects(tree.unlink("folder"), fails("is_folder", "folder"));
  assert.equal((await tree.lstat("folder"))?.kind, "folder");
  await assert.rejects(tree.rmdir("a"), fails("not_folder"));
  await Deno.writeTextFile(`${root}/folder/x`, "x");
  await assert.rejects(tree.rmdir("folder"), fails("not_empty"));
  await assert.rejects(tree.rename("a", "folder"), fails("is_folder"));
  await tree.rename("folder/x", "a");
  assert.equal(await Deno.readTextFile(`${root}/a`), "x");
  await tree.rmdir("folder");
  await tree.unlink("b");
  await assert.rejects(tree.unlink("b"), fails("not_found"));
  await assert.rejects(tree.list("folder"), fails("not_found", "folder"));
  await tree.flushFile("a");
  await tree.flushFolder("");
  await assert.rejects(tree.flushFolder("gone"), fails("not_found"));
  assert(((await tree.freeBytes()) ?? 1) > 0);
}, !unix);

diskTest("names that are too long or not UTF-8 are said, not lost", async (tree, root) => {
  await assert.rejects(tree.create("n".repeat(300)), fails("name_too_long"));
  python(`
open(b"${root}/bad\\xff", "w").write("x")
open("${root}/real\\ufffd", "w").write("x")
open(b"${root}/real\\xfe", "w").write("x")
`);
  const entries = await tree.list("");
  assert.deepEqual(entries.map((entry) => [entry.name, entry.stat !== null]).sort(), [
    ["bad\ufffd", false],
    ["real\ufffd", true],
  ]);
}, !linux);

diskTest("a listing of a huge folder lets others go on", async (tree, root) => {
  for (let i = 0; i < 20_000; i++) Deno.writeTextFileSync(`${root}/${i}`, "");
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  const entries = await tree.list("");
  clearInterval(timer);
  assert.equal(entries.length, 20_000);
  assert(turns > 1, `${turns} turns`);
});

diskTest("the root may be a symlink, a missing one is said", async (tree, root) => {
  await Deno.mkdir(`${root}/real`);
  await Deno.writeTextFile(`${root}/real/f`, "x");
  await Deno.symlink("real", `${root}/shown`);
  const through = new DiskTree(`${root}/shown/`);
  assert.equal((await through.lstat(""))?.kind, "folder");
  assert.deepEqual((await through.list("")).map((e) => e.name), ["f"]);
  assert.throws(() => new DiskTree(`${root}/none`).watch(), fails("not_found", "none", "make it again"));
  assert.throws(() => new DiskTree(`${root}/real/f`).watch(), fails("not_folder"));
  assert.throws(() => new DiskTree("relative"), fails("io", "absolute"));
  assert.equal(tree.root, root);
}, !unix);

/** Collects what a watcher tells. */
async function watched(tree: DiskTree, body: (seen: WatchEvent[]) => Promise<void>): Promise<void> {
  const watcher: TreeWatcher = tree.watch();
  const seen: WatchEvent[] = [];
  const done = (async () => {
    for await (const event of watcher) seen.push(event);
  })();
  try {
    await body(seen);
  } finally {
    watcher.close();
    await within("the watcher ends", 2000, done);
  }
}

diskTest("the watcher tells of closes, renames and deletions below the root", async (tree, root) => {
  await Deno.mkdir(`${root}/sub`);
  await watched(tree, async (seen) => {
    const saw = (kind: WatchEvent["kind"], path: string) =>
      eventually(
        `${kind} ${path}`,
        () => assert(seen.some((e) => e.kind === kind && e.paths.includes(path)), JSON.stringify(seen)),
        { deadlineMs: 3000, everyMs: 5 },
      );
    await Deno.writeTextFile(`${root}/sub/f`, "x");
    await saw("created", "sub/f");
    await saw("closed", "sub/f");
    await Deno.rename(`${root}/sub/f`, `${root}/g`);
    await saw("removed", "sub/f");
    await saw("renamed", "g");
    await Deno.chmod(`${root}/g`, 0o755);
    await saw("modified", "g");
    await Deno.remove(`${root}/g`);
    await saw("removed", "g");
    // Deno keeps events to itself whose path leads out of the folder.
    await Deno.writeTextFile(`${root}/sub/replaced`, "x");
    await saw("closed", "sub/replaced");
    seen.length = 0;
    Deno.removeSync(`${root}/sub/replaced`);
    Deno.symlinkSync("/etc/hosts", `${root}/sub/replaced`);
    await saw("renamed", "sub/replaced");
    // The runtime's watcher opens a pipe that was made, and waits there for somebody to write into it.
    python(`import os; os.mkfifo("${root}/pipe")`);
    await Deno.writeTextFile(`${root}/behind the pipe`, "x");
    await eventually(
      "what comes after a pipe is told",
      () => assert(seen.some((e) => e.kind === "closed" && e.paths.includes("behind the pipe"))),
    );
    assert.deepEqual(
      seen.flatMap((e) => e.paths).filter((path) =>
        path.startsWith("/") || path.includes("mirrorsync-watcher")
      ),
      [],
      "the watcher's heartbeat is nobody else's business",
    );
    // A name that is not UTF-8 breaks Deno's iterator for one event; the watcher says that one was lost and goes on.
    python(`open(b"${root}/bad\\xff", "w").write("x")`);
    await eventually("lost", () => assert(seen.some((e) => e.kind === "lost")), { everyMs: 5 });
    await Deno.writeTextFile(`${root}/after`, "x");
    await saw("closed", "after");
  });
}, !linux);

diskTest("of every file that is made the watcher tells, or that events were lost", async (tree, root) => {
  await watched(tree, async (seen) => {
    // Faster than anybody could begin to watch all the new folders, and more than the system keeps ready.
    const files: string[] = [];
    for (let i = 0; i < 3000; i++) {
      const folder = `d${i % 7}/e${i % 11}`;
      if (i < 77) Deno.mkdirSync(`${root}/${folder}`, { recursive: true });
      Deno.writeTextFileSync(`${root}/${folder}/file ${i}`, "x");
      files.push(`${folder}/file ${i}`);
    }
    await eventually("all is told, or that some is not", () => {
      const told = new Set(seen.flatMap((event) => event.paths));
      assert(seen.some((event) => event.kind === "lost") || files.every((path) => told.has(path)));
    });
  });
}, !linux);

Deno.test("errors name the path and the cause", () => {
  const denied = toFileError(new Deno.errors.PermissionDenied("x"), "read", "a/b");
  assert.equal(denied.message, "no permission to read a/b");
  assert.equal(denied.code, "denied");
  const full = toFileError(Object.assign(new Error("x"), { code: "EDQUOT" }), "write to", "a\nb");
  assert.equal(full.code, "no_space");
  assert.equal(full.message, 'cannot write to "a\\nb": the disk quota is used up');
  const link = toFileError(Object.assign(new Error("x"), { code: "EPERM" }), "link", "a", {
    EPERM: "unsupported",
  });
  assert.equal(link.code, "unsupported");
});

Deno.test("what stops a watcher is said with the way out", () => {
  const limit = toWatchError(new Error('OS file watch limit reached. about ["/w/sub"]'), "/w");
  assert(limit.message.includes("sudo sysctl fs.inotify.max_user_watches=524288"), limit.message);
  const denied = toWatchError(
    new Deno.errors.PermissionDenied('Permission denied (os error 13) about ["/w/secret"]'),
    "/w",
  );
  assert.equal(denied.code, "denied");
  assert(denied.message.includes("/w/secret") && denied.message.includes("chmod"), denied.message);
  assert(
    toWatchError(new Error("Too many open files (os error 24)"), "/w").message.includes("max_user_instances"),
  );
});
