import assert from "node:assert/strict";
import { MAX_PATH_BYTES, type RelativePath } from "../../src/domain/relative_path.ts";
import { IgnoreFiles } from "../../src/watch/ignore_files.ts";
import { Ledger } from "../../src/watch/ledger.ts";
import { enterRoot } from "../../src/watch/places.ts";
import { Slices } from "../../src/domain/slices.ts";
import { Scan } from "../../src/watch/scan.ts";
import { unreadProblem } from "../../src/watch/unread.ts";
import { eventually } from "../helpers/eventually.ts";
import { WatchedFolder } from "./watched_folder.ts";

const unix = Deno.build.os !== "windows";
const linux = Deno.build.os === "linux";

function scanTest(name: string, body: (folder: WatchedFolder) => Promise<void>, ignore = false): void {
  Deno.test({
    name: `scan: ${name}`,
    ignore,
    fn: async () => {
      await using folder = await WatchedFolder.create();
      await body(folder);
    },
  });
}

function python(script: string): void {
  const { success, stderr } = new Deno.Command("python3", { args: ["-c", script] }).outputSync();
  assert(success, new TextDecoder().decode(stderr));
}

scanTest("finds files and folders, parents first, and reads none of them", async (folder) => {
  folder.old("a/b/c.txt", "hello", 1_234_567_890_123);
  folder.old("z", "");
  Deno.mkdirSync(folder.at("empty"));
  folder.tree.openRead = () => Promise.reject(new Error("a scan reads nothing"));
  folder.tree.readSmall = () => Promise.reject(new Error("a scan reads nothing"));
  await folder.observer.start();
  assert.deepEqual(folder.paths(), ["a", "a/b", "a/b/c.txt", "empty", "z"]);
  const row = folder.row("a/b/c.txt")!;
  assert.deepEqual(
    [row.kind, row.sizeBytes, row.mtimeMs, row.hash, row.provisional, row.executable],
    ["file", 5, 1_234_567_890_123, null, false, false],
  );
  assert.equal(folder.row("empty")?.hash, "");
  const order = folder.changes.map((change) => change.path);
  assert(order.indexOf("a" as never) < order.indexOf("a/b" as never));
  assert(order.indexOf("a/b" as never) < order.indexOf("a/b/c.txt" as never));
  assert(folder.changes.every((change) => change.before === null && change.after !== null));
});

scanTest(
  "what did not change is no change, what was edited, made or deleted meanwhile is",
  async (folder) => {
    for (const path of ["same", "edited", "gone", "dir/gone", "dir/sub/gone", "kept/f", "mode"]) {
      folder.old(
        path,
      );
    }
    await folder.observer.start();
    for (const path of ["same", "edited", "mode"]) folder.hash(path);
    await folder.restart();
    folder.toldNothing();
    await folder.restart(() => {
      folder.old("edited", "other content");
      folder.old("new");
      Deno.removeSync(folder.at("gone"));
      Deno.removeSync(folder.at("dir"), { recursive: true });
      if (unix) Deno.chmodSync(folder.at("mode"), 0o755);
    });
    const told = Object.fromEntries(
      folder.changes.map(({ path, before, after }) => [path, [before !== null, after?.hash]]),
    );
    assert.deepEqual(told, {
      edited: [true, null],
      new: [false, null],
      gone: [true, undefined],
      dir: [true, undefined],
      "dir/gone": [true, undefined],
      "dir/sub": [true, undefined],
      "dir/sub/gone": [true, undefined],
      ...(unix && { mode: [true, null] }),
    });
    if (unix) assert.equal(folder.row("mode")?.executable, true);
    const order = folder.changes.map((change) => change.path as string);
    assert(order.indexOf("dir/sub/gone") < order.indexOf("dir/sub"), "children go before their folder");
    assert(order.indexOf("dir/sub") < order.indexOf("dir"));
    assert(order.indexOf("new") < order.indexOf("gone"), "what is new is known before anything goes");
    assert.deepEqual(folder.paths(), ["edited", "kept", "kept/f", "mode", "new", "same"]);
  },
);

scanTest("a moved file is known at its new place before it goes from the old one", async (folder) => {
  folder.old("a/file");
  folder.old("b/other");
  await folder.observer.start();
  await folder.restart(() => Deno.renameSync(folder.at("a/file"), folder.at("b/moved")));
  assert.deepEqual(folder.changes.map((change) => [change.path, change.after !== null]), [
    ["b/moved", true],
    ["a/file", false],
  ]);
});

scanTest("a file that becomes a folder, and a folder that becomes a file", async (folder) => {
  folder.old("x");
  folder.old("y/in/side");
  await folder.observer.start();
  await folder.restart(() => {
    Deno.removeSync(folder.at("x"));
    folder.old("x/now");
    Deno.removeSync(folder.at("y"), { recursive: true });
    folder.old("y");
  });
  assert.deepEqual(folder.paths(), ["x", "x/now", "y"]);
  assert.equal(folder.row("x")?.kind, "folder");
  assert.equal(folder.row("y")?.kind, "file");
});

scanTest(
  "symlinks and special files are skipped with one log row, and count as deleted where there was a file",
  async (folder) => {
    folder.old("file");
    folder.old("folder/in");
    await folder.observer.start();
    await folder.restart(() => {
      Deno.removeSync(folder.at("file"));
      Deno.symlinkSync("/etc/passwd", folder.at("file"));
      Deno.renameSync(folder.at("folder"), `${folder.outside}/folder`);
      Deno.symlinkSync(`${folder.outside}/folder`, folder.at("folder"));
      python(`import os; os.mkfifo("${folder.at("pipe")}")`);
    });
    assert.deepEqual(folder.paths(), []);
    assert.deepEqual(folder.skips(), ["file: symlink", "folder: symlink", "pipe: special"]);
    assert.deepEqual(folder.notes().sort(), [
      "skip file: symlink",
      "skip folder: symlink",
      "skip pipe: special",
    ]);
    await folder.restart();
    assert.equal(folder.notes().length, 3, "said once");
    await folder.restart(() => {
      Deno.removeSync(folder.at("file"));
      Deno.removeSync(folder.at("pipe"));
      folder.old("file");
    });
    assert.deepEqual(folder.paths(), ["file"]);
    assert.deepEqual(folder.skips(), ["folder: symlink"]);
  },
  !unix,
);

scanTest("names that are not UTF-8, in a folder too", async (folder) => {
  folder.old("good");
  python(`
import os
open(b"${folder.root}/bad\\xff", "w").write("x")
os.mkdir(b"${folder.root}/dir\\xfe")
open(b"${folder.root}/dir\\xfe/in", "w").write("x")
`);
  await folder.observer.start();
  assert.deepEqual(folder.paths(), ["good"]);
  assert.deepEqual(folder.skips(), ["bad\ufffd: not_utf8", "dir\ufffd: not_utf8"]);
  assert.equal(folder.notes().length, 2);
  assert(folder.events.some((event) => event.kind === "skipped" && event.level === "warning"));
}, !linux);

scanTest(
  "of two names with one NFC form the observed one stays, and the other takes its place when it goes",
  async (folder) => {
    const nfc = "caf\u00e9", nfd = "cafe\u0301";
    folder.old(nfd, "decomposed");
    await folder.observer.start();
    assert.equal(folder.row(nfc)?.diskPath, nfd);
    await folder.restart(() => folder.old(nfc, "composed"));
    folder.toldNothing();
    assert.deepEqual(folder.skips(), [`${nfc}: unicode_twin`]);
    assert.equal(folder.notes().length, 1);
    await folder.restart(() => Deno.removeSync(folder.at(nfd)));
    assert.equal(folder.row(nfc)?.diskPath, nfc);
    assert.deepEqual(folder.skips(), []);
    // Folders alike: the twin's content does not get mixed with the keeper's.
    await folder.restart(() => {
      folder.old("e\u0301/one");
      folder.old("\u00e9/two");
    });
    assert.deepEqual(folder.paths(), [nfc, "\u00e9", "\u00e9/two"]);
    assert.deepEqual(folder.skips(), ["e\u0301: unicode_twin"]);
  },
  !linux,
);

scanTest(
  "names that cannot travel are skipped, the staging folder silently; one further down is told",
  async (folder) => {
    folder.old(".mirrorsync-staging/x");
    folder.old("deep/.mirrorsync-staging/x");
    folder.old("C:/x");
    let deep = "d".repeat(200);
    while (deep.length < MAX_PATH_BYTES - 300) deep += `/${"d".repeat(200)}`;
    Deno.mkdirSync(folder.at("short"));
    // Longer than one call could name from the root, so made from the inside.
    python(`
import os
os.chdir("${folder.at("short")}")
for _ in range(22):
    os.mkdir("${"d".repeat(200)}"); os.chdir("${"d".repeat(200)}")
`);
    await folder.observer.start();
    assert(!folder.paths().some((path) => path.includes("staging") || path.startsWith("C:")));
    assert(folder.skips().includes("C:: bad_name"), folder.skips().join());
    assert.deepEqual(folder.skips().filter((skip) => skip.includes("staging")), [
      "deep/.mirrorsync-staging: bad_name",
    ]);
    assert(folder.paths().includes("short"));
    python(`import shutil; shutil.rmtree("${folder.at("short")}")`);
  },
  !linux,
);

scanTest("ignored: never recorded, held where it was, and back when the rule goes", async (folder) => {
  folder.old("keep.txt");
  folder.old("a.log");
  folder.old("build/out/x");
  folder.old("never.tmp");
  await folder.observer.start();
  await folder.restart(() => {
    folder.old(".mirrorsyncignore", "*.log\nbuild/\n");
    Deno.removeSync(folder.at("a.log"));
    folder.old("build/new");
    Deno.symlinkSync("x", folder.at("link.log"));
  });
  assert.deepEqual(folder.paths(), [
    ".mirrorsyncignore",
    "a.log (ignored)",
    "build (ignored)",
    "build/out (ignored)",
    "build/out/x (ignored)",
    "keep.txt",
    "never.tmp",
  ]);
  assert.deepEqual(folder.skips(), []);
  assert(folder.changes.every((change) => change.after !== null), "nothing is deleted by being ignored");
  await folder.restart();
  folder.toldNothing();
  await folder.restart(() => Deno.removeSync(folder.at(".mirrorsyncignore")));
  assert.deepEqual(folder.paths(), [
    "build",
    "build/new",
    "build/out",
    "build/out/x",
    "keep.txt",
    "never.tmp",
  ]);
  assert.deepEqual(folder.skips(), ["link.log: symlink"]);
}, !unix);

scanTest("a folder that cannot be listed is unknown, never deleted", async (folder) => {
  folder.old("secret/a/b");
  folder.old("open/c");
  await folder.observer.start();
  await folder.restart(() => void folder.tree.denied.add("list secret"));
  assert.deepEqual(folder.paths(), [
    "open",
    "open/c",
    "secret",
    "secret/a (unknown)",
    "secret/a/b (unknown)",
  ]);
  assert.deepEqual(folder.skips(), ["secret: unreadable"]);
  assert(folder.store.skipped.get("secret")!.message.includes("no permission to list secret"));
  assert.equal(folder.notes().length, 1);
  await folder.restart();
  assert.equal(folder.notes().length, 1, "said once");
  folder.toldNothing();
  await folder.restart(() => void folder.tree.denied.clear());
  assert.deepEqual(folder.paths(), ["open", "open/c", "secret", "secret/a", "secret/a/b"]);
  assert.deepEqual(folder.skips(), []);
});

scanTest("an entry that cannot be looked at is unknown, with what is below it", async (folder) => {
  folder.old("dir/f");
  folder.old("file");
  await folder.observer.start();
  folder.tree.denied.add("look at dir").add("look at file");
  await folder.observer.scanNow();
  assert.deepEqual(folder.paths(), ["dir (unknown)", "dir/f (unknown)", "file (unknown)"]);
  folder.tree.denied.clear();
  await folder.observer.scanNow();
  assert.deepEqual(folder.paths(), ["dir", "dir/f", "file"]);
});

scanTest("an ignore file that cannot be read leaves everything below its folder unknown", async (folder) => {
  folder.old("p/.mirrorsyncignore", "*.o\n");
  folder.old("p/a.c");
  folder.old("p/sub/b.o");
  folder.old("q");
  await folder.observer.start();
  assert.deepEqual(folder.paths(), ["p", "p/.mirrorsyncignore", "p/a.c", "p/sub", "q"]);
  await folder.restart(() => {
    folder.tree.denied.add("read p/.mirrorsyncignore");
    Deno.removeSync(folder.at("p/a.c"));
    folder.old("p/new.o");
  });
  assert.deepEqual(folder.paths(), [
    "p",
    "p/.mirrorsyncignore (unknown)",
    "p/a.c (unknown)",
    "p/sub (unknown)",
    "q",
  ]);
  assert.deepEqual(folder.skips(), ["p/.mirrorsyncignore: unreadable"]);
  await folder.restart(() => void folder.tree.denied.clear());
  assert.deepEqual(folder.paths(), ["p", "p/.mirrorsyncignore", "p/sub", "q"]);
  assert.deepEqual(folder.skips(), []);
});

scanTest("an unmounted disk deletes nothing; a renumbered one is recognised", async (folder) => {
  for (const name of ["a", "b", "c", "d"]) folder.old(`mnt/${name}`);
  folder.tree.devices.set("mnt", 77);
  await folder.observer.start();
  folder.hash("mnt/a");
  await folder.restart(() => {
    // The folder under the mount shows: empty but for one old file.
    Deno.renameSync(folder.at("mnt"), `${folder.outside}/mnt`);
    Deno.mkdirSync(folder.at("mnt"));
    folder.old("mnt/a", "another");
    folder.tree.devices.clear();
  });
  assert.deepEqual(folder.paths(), ["mnt", "mnt/a", "mnt/b (unknown)", "mnt/c (unknown)", "mnt/d (unknown)"]);
  assert.deepEqual(folder.skips(), ["mnt: unreadable"]);
  assert(folder.store.skipped.get("mnt")!.message.includes("mount"));
  await folder.restart();
  folder.toldNothing();
  assert.equal(folder.notes().length, 1);
  await folder.restart(() => {
    Deno.removeSync(folder.at("mnt"), { recursive: true });
    Deno.renameSync(`${folder.outside}/mnt`, folder.at("mnt"));
    folder.tree.devices.set("mnt", 78);
    Deno.removeSync(folder.at("mnt/d"));
  });
  assert.deepEqual(folder.paths(), ["mnt", "mnt/a", "mnt/b", "mnt/c"]);
  assert.equal(folder.row("mnt")?.device, 78);
  assert.deepEqual(folder.skips(), []);
});

/** What is at `path` goes to `${name}` outside; what was there before takes its place, or a new folder. */
function swap(folder: WatchedFolder, path: string, name: string, next: string): void {
  Deno.renameSync(folder.at(path), `${folder.outside}/${name}`);
  try {
    Deno.renameSync(`${folder.outside}/${next}`, folder.at(path));
  } catch {
    Deno.mkdirSync(folder.at(path));
  }
}

scanTest("what came from a disk stays when it is unmounted, whatever is below it", async (folder) => {
  for (const name of ["not mounted 1", "not mounted 2", "not mounted 3"]) folder.old(`mnt/${name}`);
  await folder.observer.start();
  await folder.restart(() => {
    swap(folder, "mnt", "below", "disk");
    folder.tree.devices.set("mnt", 77);
    for (const name of ["photo 1", "photo 2", "photo 3", "photo 4", "d/in"]) folder.old(`mnt/${name}`);
  });
  const below = ["mnt", "mnt/not mounted 1", "mnt/not mounted 2", "mnt/not mounted 3"];
  const disk = ["mnt", "mnt/d", "mnt/d/in", "mnt/photo 1", "mnt/photo 2", "mnt/photo 3", "mnt/photo 4"];
  const held = (paths: string[]) => paths.slice(1).map((path) => `${path} (unknown)`);
  assert.deepEqual(folder.paths(), ["mnt", ...disk.slice(1), ...held(below)].toSorted());
  for (let round = 0; round < 2; round++) {
    await folder.restart(() => {
      swap(folder, "mnt", "disk", "below");
      folder.tree.devices.clear();
    });
    assert.deepEqual(folder.paths(), ["mnt", ...held(disk), ...below.slice(1)].toSorted(), "unmounted");
    assert.deepEqual(folder.skips(), ["mnt: unreadable"]);
    // Also when something happens there, so that single paths are looked at.
    for (const path of ["mnt/photo 1", "mnt/d"]) folder.observer.lookAgain(path as RelativePath);
    await eventually("looked at", () => assert.equal(folder.observer.idle(), true));
    assert.deepEqual(folder.paths(), ["mnt", ...held(disk), ...below.slice(1)].toSorted(), "looked at");
    await folder.restart(() => {
      swap(folder, "mnt", "below", "disk");
      folder.tree.devices.set("mnt", 77);
    });
    assert.deepEqual(folder.paths(), ["mnt", ...disk.slice(1), ...held(below)].toSorted(), "mounted");
  }
  // What is deleted while the disk is there is deleted.
  await folder.restart(() => Deno.removeSync(folder.at("mnt/photo 4")));
  assert.deepEqual(
    folder.paths(),
    ["mnt", ...disk.slice(1).filter((path) => path !== "mnt/photo 4"), ...held(below)].toSorted(),
  );
});

scanTest("a disk that is mounted while it runs: no look leads to another one for ever", async (folder) => {
  folder.old("mnt/below");
  folder.old("there");
  await folder.observer.start();
  let looks = 0;
  const lstat = folder.tree.lstat.bind(folder.tree);
  folder.tree.lstat = (path) => {
    looks++;
    return lstat(path);
  };
  const mountAndLook = async (device: number, out: string, into: string, ...names: string[]) => {
    swap(folder, "mnt", out, into);
    folder.tree.devices.set("mnt", device);
    for (const name of names) folder.old(`mnt/${name}`);
    looks = 0;
    for (const path of ["mnt", ...names.map((name) => `mnt/${name}`)]) {
      folder.observer.lookAgain(path as RelativePath);
    }
    await eventually("it is taken up", () => {
      assert.equal(folder.observer.idle(), true);
      for (const name of names) assert(folder.paths().includes(`mnt/${name}`), folder.paths().join(" "));
    });
    assert(looks < 200, `${looks} looks`);
  };
  await mountAndLook(77, "below", "disk", "on it");
  assert(folder.paths().includes("mnt/below (unknown)"));
  await mountAndLook(78, "disk", "other", "on another");
  assert(folder.paths().includes("mnt/on it (unknown)"));
});

scanTest("two disks in turn at one place delete nothing of each other", async (folder) => {
  const mount = (out: string, into: string, device: number) => {
    swap(folder, "mnt", out, into);
    folder.tree.devices.set("mnt", device);
  };
  folder.tree.devices.set("mnt", 77);
  for (const name of ["a1", "a2", "a3", "both/a"]) folder.old(`mnt/${name}`);
  await folder.observer.start();
  await folder.restart(() => {
    mount("A", "B", 78);
    for (const name of ["b1", "b2", "b3", "both/b"]) folder.old(`mnt/${name}`);
  });
  const a = ["mnt/a1", "mnt/a2", "mnt/a3", "mnt/both/a"], b = ["mnt/b1", "mnt/b2", "mnt/b3", "mnt/both/b"];
  const held = (paths: string[]) => paths.map((path) => `${path} (unknown)`);
  const files = () => folder.paths().filter((path) => path !== "mnt" && path !== "mnt/both");
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(files(), [...held(a), ...b].toSorted());
    await folder.restart(() => mount("B", "A", 77));
    assert.deepEqual(files(), [...a, ...held(b)].toSorted());
    await folder.restart(() => mount("A", "B", 78));
  }
});

scanTest("a disk that is the watched folder deletes nothing when it comes and goes", async (folder) => {
  for (const name of ["below 1", "below 2"]) folder.old(name);
  await folder.observer.start();
  const saved = (name: string) => `${folder.outside}/${name}`;
  await folder.restart(() => {
    Deno.renameSync(folder.root, saved("below"));
    Deno.mkdirSync(folder.root);
    folder.tree.devices.set("", 99);
    for (const name of ["disk 1", "disk 2"]) folder.old(name);
  });
  assert.deepEqual(folder.paths(), ["below 1 (unknown)", "below 2 (unknown)", "disk 1", "disk 2"]);
  await folder.restart(() => {
    Deno.renameSync(folder.root, saved("disk"));
    Deno.renameSync(saved("below"), folder.root);
    folder.tree.devices.clear();
  });
  assert.deepEqual(folder.paths(), ["below 1", "below 2", "disk 1 (unknown)", "disk 2 (unknown)"]);
  await folder.restart(() => {
    Deno.renameSync(folder.root, saved("below"));
    Deno.renameSync(saved("disk"), folder.root);
    folder.tree.devices.set("", 99);
  });
  assert.deepEqual(folder.paths(), ["below 1 (unknown)", "below 2 (unknown)", "disk 1", "disk 2"]);
});

scanTest(
  "a device that is only numbered anew costs no sending: the content is checked in the background",
  async (folder) => {
    for (const name of ["a", "b", "sub/c"]) folder.old(name);
    await folder.observer.start();
    for (const name of ["a", "b", "sub/c"]) folder.hash(name);
    const hash = folder.row("sub/c")!.hash;
    await folder.restart(() => void folder.tree.devices.set("", 4242));
    assert.equal(folder.row("sub/c")?.hash, hash);
    assert.equal(folder.row("sub/c")?.device, 4242);
    await eventually(
      "the files were read again",
      () => assert.deepEqual(folder.store.observed.provisional(), []),
    );
    assert.equal(folder.row("sub/c")?.hash, hash);
  },
);

scanTest("a new folder is told right before what is in it", async (folder) => {
  for (const name of ["new/a/1", "new/a/2", "new/b/1", "new/c/d/1"]) folder.old(name);
  await folder.observer.start();
  const told = folder.changes.map(({ path }) => path);
  for (const each of ["new/a", "new/b", "new/c/d"]) {
    assert.equal(told[told.indexOf(`${each}/1` as RelativePath) - 1]?.startsWith(each), true, told.join(" "));
  }
  assert.equal(told.indexOf("new/c/d" as RelativePath), told.indexOf("new/c" as RelativePath) + 1);
});

scanTest("the watched folder on another disk, empty: nothing is deleted", async (folder) => {
  for (const name of ["a", "b", "sub/c"]) folder.old(name);
  await folder.observer.start();
  await folder.restart(() => {
    Deno.renameSync(folder.root, `${folder.outside}/saved`);
    Deno.mkdirSync(folder.root);
    folder.tree.devices.set("", 99);
  });
  assert.deepEqual(folder.paths(), ["a (unknown)", "b (unknown)", "sub (unknown)", "sub/c (unknown)"]);
  assert.deepEqual(folder.skips(), [".: unreadable"]);
  assert.match(
    unreadProblem(folder.store)!.message,
    /^not all of watched\/ can be read: the watched folder is on another disk/,
  );
  await folder.restart();
  folder.toldNothing();
  await folder.restart(() => {
    Deno.removeSync(folder.root);
    Deno.renameSync(`${folder.outside}/saved`, folder.root);
    folder.tree.devices.clear();
  });
  assert.deepEqual(folder.paths(), ["a", "b", "sub", "sub/c"]);
  assert.deepEqual(folder.skips(), []);
  assert.equal(unreadProblem(folder.store), null);
});

scanTest(
  "a root that is missing, a file, or unreadable: a problem, and nothing is deleted",
  async (folder) => {
    folder.old("a");
    folder.old("sub/b");
    await folder.observer.start();
    await folder.restart(() => Deno.renameSync(folder.root, `${folder.outside}/saved`));
    assert.equal(folder.observer.status().problem?.code, "bad_folder");
    assert(folder.observer.status().problem!.message.includes(folder.root));
    folder.toldNothing();
    await folder.restart(() => Deno.writeTextFileSync(folder.root, "a file"));
    assert.equal(folder.observer.status().problem?.code, "bad_folder");
    folder.toldNothing();
    await folder.restart(() => {
      Deno.removeSync(folder.root);
      Deno.renameSync(`${folder.outside}/saved`, folder.root);
      folder.tree.denied.add("list ");
    });
    assert.equal(folder.observer.status().problem?.code, "bad_folder");
    folder.toldNothing();
    folder.tree.denied.clear();
    await folder.observer.scanNow();
    assert.equal(folder.observer.status().problem, null);
    assert.deepEqual(folder.paths(), ["a", "sub", "sub/b"]);
  },
);

scanTest("a time that no timestamp can express is the nearest one", async (folder) => {
  folder.old("far");
  const lstat = folder.tree.lstat.bind(folder.tree), list = folder.tree.list.bind(folder.tree);
  const far = 300_000_000_000_000;
  folder.tree.list = async (path) =>
    (await list(path)).map((entry) => ({ ...entry, stat: entry.stat && { ...entry.stat, mtimeMs: far } }));
  folder.tree.lstat = async (path) => {
    const stat = await lstat(path);
    return stat && { ...stat, mtimeMs: far };
  };
  await folder.observer.start();
  assert.equal(folder.row("far")?.mtimeMs, Date.parse("9999-12-31T23:59:59.999Z"));
  await folder.restart();
  folder.toldNothing();
});

scanTest("changes are told while a big scan goes on, and others get their turn", async (folder) => {
  for (let i = 0; i < 4000; i++) folder.old(`d${i % 40}/f${i}`);
  let turns = 0, duringScan = 0;
  const timer = setInterval(() => {
    turns++;
    if (folder.changes.length > 0 && folder.observer.status().scan.running) duringScan++;
  }, 1);
  await folder.observer.start();
  clearInterval(timer);
  assert.equal(folder.changes.length, 4040);
  assert(duringScan > 0 && turns > 3, `${turns} turns, ${duringScan} of them with changes before the end`);
});

/** A scan of a folder whose observer has stopped, and what it asks to be looked at once more. */
function scanAlone({ tree, store, clock }: WatchedFolder) {
  const ledger = new Ledger(store, clock, () => {}, () => {});
  const again: string[] = [];
  const parts = {
    tree,
    ledger,
    ignoreFiles: new IgnoreFiles(tree, clock),
    takes: () => true,
    onNewFolder: () => {},
    lookAgain: (path: string) => void again.push(path),
    between: () => Promise.resolve(),
    slices: new Slices(clock),
    stopped: new AbortController().signal,
  };
  const run = async () => {
    using page = ledger.page();
    await new Scan(parts, page).run(await enterRoot(tree), true);
  };
  return { ledger, again, run };
}

scanTest("what an event found after a folder was listed is newer than the listing", async (folder) => {
  folder.old("x", "old");
  await folder.observer.start();
  await folder.observer.stop();
  const { tree } = folder;
  const { ledger, again, run } = scanAlone(folder);
  folder.old("x", "newer", 1_650_000_000_000);
  tree.onListed = async () => {
    tree.onListed = () => {};
    // Between the listing and its use: the file changes, and an event's look is faster.
    folder.old("x", "newest!", 1_660_000_000_000);
    using page = ledger.page();
    const row = folder.row("x")!;
    page.add({ kind: "present", path: row.path, diskPath: "x", stat: (await tree.lstat("x"))! });
    page.commit();
  };
  await run();
  assert.equal(folder.row("x")?.mtimeMs, 1_660_000_000_000);
  assert.deepEqual(again, ["x"]);
});

scanTest(
  "new folders, and what is in them, leave no rows when a file has taken their place meanwhile",
  async (folder) => {
    folder.old("d/keep");
    await folder.observer.start();
    await folder.observer.stop();
    const { tree } = folder;
    for (const listed of ["d", "d/new"]) {
      const { ledger, run } = scanAlone(folder);
      for (const name of ["d/new/1", "d/newer/2"]) folder.old(name);
      tree.onListed = async (path) => {
        if (path !== listed) return;
        tree.onListed = () => {};
        Deno.removeSync(folder.at("d"), { recursive: true });
        folder.old("d", "a file");
        using page = ledger.page();
        const d = "d" as RelativePath;
        for (const { path } of folder.store.observed.below("d").reverse()) page.add({ kind: "gone", path });
        page.add({ kind: "present", path: d, diskPath: "d", stat: (await tree.lstat("d"))! });
        page.commit();
      };
      await run();
      assert.deepEqual(folder.paths(), ["d"], `when ${listed} was listed`);
      Deno.removeSync(folder.at("d"));
      folder.old("d/keep");
      await scanAlone(folder).run();
      assert.deepEqual(folder.paths(), ["d", "d/keep"]);
    }
  },
);
