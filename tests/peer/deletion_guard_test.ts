import assert from "node:assert/strict";
import { confirmHeldDeletions, readHeldDeletions } from "../../src/store/held_deletions.ts";
import { eventually, pause } from "../helpers/eventually.ts";
import { exists, put, snapshot } from "../helpers/tree.ts";
import { type Home, Pair } from "./pair.ts";

const SOON = { deadlineMs: 10_000, everyMs: 20 };

/** Files `FOLDER/0` to `FOLDER/COUNT-1`, each with content of its own. */
async function fill(home: Home, folder: string, count: number): Promise<void> {
  await Deno.mkdir(`${home.watched}/${folder}`, { recursive: true });
  for (let i = 0; i < count; i++) {
    await Deno.writeTextFile(`${home.watched}/${folder}/${i}`, `${folder} ${i}`);
  }
}

async function filesIn(root: string): Promise<number> {
  return [...(await snapshot(root, { hashes: false })).values()].filter(({ kind }) => kind === "file").length;
}

/** Waits until it is said that deletions are held; gives what is said. */
function held(home: Home): Promise<string> {
  return eventually("deletions are held", () => {
    const problem = home.running!.status().problems.find(({ code }) => code === "deletion_guard");
    assert.ok(problem !== undefined);
    return problem.message;
  }, SOON);
}

/** Another process confirms what is held. */
function confirm(home: Home): number {
  return home.command((store) =>
    store.peers.list().reduce((sum, peer) => sum + confirmHeldDeletions(store, peer, Date.now()), 0)
  );
}

Deno.test("guard: a folder that goes with more than 50 files stays on the peer until somebody confirms it", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "photos", 60);
  await fill(anna, "notes", 70);
  await pair.start();
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/photos`, { recursive: true });
  const message = await held(anna);
  assert.match(
    message,
    /^60 of the 60 files in watched\/photos would be deleted on bert at once \(photos.*, …\): nothing/,
  );
  // Other changes go on, other deletions too.
  await Deno.remove(`${anna.watched}/notes/0`);
  await put(`${anna.watched}/notes/new`, "new");
  await eventually("they are there", async () => {
    assert.equal(await exists(`${bert.synced}/notes/0`), false);
    assert.equal(await exists(`${bert.synced}/notes/new`), true);
  }, SOON);
  assert.equal(await filesIn(`${bert.synced}/photos`), 60);
  const status = anna.running!.status().peers[0]!;
  assert.deepEqual({ ...status.pending, bytes: 0 }, { waiting: 0, refused: 0, held: 61, bytes: 0 });
  assert.equal(status.inSync, false);
  assert.ok(anna.events.some((event) => event.level === "warning" && event.message === message));
  anna.command((store) => {
    assert.equal(store.log.newest(1000, "photos").find(({ action }) => action === "guard")?.error, message);
    const [row] = store.pending.heldIn(status.pending.held > 0 ? 1 : 0, "photos", 1);
    assert.match(row!.reason!, /one of too many deletions at once in watched\/photos/);
  });
  // It holds across a restart.
  await anna.stop();
  await anna.start();
  await held(anna);
  await eventually("they are linked", () => assert.equal(anna.running!.status().peers[0]!.link, "up"), SOON);
  assert.equal(await filesIn(`${bert.synced}/photos`), 60);
  assert.equal(confirm(anna), 61);
  await pair.mirrored();
  assert.equal(anna.running!.status().problems.length, 0);
  assert.equal(await exists(`${bert.synced}/photos`), false);
  // What was confirmed does not count again: one more is deleted as ever.
  await Deno.remove(`${anna.watched}/notes/1`);
  await pair.mirrored();
});

Deno.test("guard: new files that were given the inodes of what was deleted do not pass for it, moved", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "photos", 60);
  await fill(anna, "notes", 70);
  await pair.start();
  await pair.mirrored();
  await anna.stop();
  for (let i = 0; i < 60; i++) await Deno.remove(`${anna.watched}/photos/${i}`);
  // ext4 gives the numbers of what is gone to the next that are made in folders nearby.
  const rested = new Date(Date.now() - 60_000);
  for (let i = 0; i < 60; i++) {
    await put(`${anna.watched}/notes/new${i}`, `of another length: ${i}`);
    await Deno.utime(`${anna.watched}/notes/new${i}`, rested, rested);
  }
  await anna.start();
  assert.match(await held(anna), /^60 of the 60 files in watched\/photos would be deleted/);
  await eventually("the new ones are there", async () => {
    assert.equal(await filesIn(`${bert.synced}/notes`), 130);
  }, SOON);
  assert.equal(await filesIn(`${bert.synced}/photos`), 60);
});

Deno.test("guard: it lets go by itself when the files come back, and keeps what is missing still if that is too much", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "d", 100);
  await pair.start();
  await pair.mirrored();
  await Deno.rename(`${anna.watched}/d`, `${anna.folder}/elsewhere`);
  await held(anna);
  await Deno.mkdir(`${anna.watched}/d`);
  for (let i = 0; i < 20; i++) await Deno.rename(`${anna.folder}/elsewhere/${i}`, `${anna.watched}/d/${i}`);
  await eventually("it says how many are missing", async () => {
    assert.match(await held(anna), /^80 of the 100 files/);
  }, SOON);
  assert.equal(await filesIn(bert.synced), 100);
  for (let i = 20; i < 99; i++) await Deno.rename(`${anna.folder}/elsewhere/${i}`, `${anna.watched}/d/${i}`);
  await pair.mirrored();
  assert.equal(await filesIn(bert.synced), 99);
  assert.equal(anna.running!.status().problems.length, 0);
  assert.ok(anna.events.some(({ message }) => /is there again, or was moved/.test(message)));
});

Deno.test("guard: a tree that goes in portions counts as one", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "d", 80);
  await pair.start();
  await pair.mirrored();
  for (let i = 0; i < 30; i++) await Deno.remove(`${anna.watched}/d/${i}`);
  await eventually("the first portion went", async () => assert.equal(await filesIn(bert.synced), 50), SOON);
  for (let i = 30; i < 80; i++) {
    await Deno.remove(`${anna.watched}/d/${i}`);
    if (i % 10 === 0) await pause(20);
  }
  await eventually("all of it counts", async () => {
    assert.match(await held(anna), /^80 of the 80 files/);
  }, SOON);
  assert.equal(await filesIn(bert.synced), 50);
  assert.ok(confirm(anna) >= 50);
  await pair.mirrored();
});

Deno.test("guard: files that come and go one after the other are not deleted at once; those that were there together are", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "spool", 20);
  await pair.start();
  await pair.mirrored();
  const one = async (i: number) => {
    await put(`${anna.watched}/spool/job ${i}`, `job ${i}`);
    await pair.mirrored();
    await Deno.remove(`${anna.watched}/spool/job ${i}`);
    await pair.mirrored();
  };
  for (let i = 0; i < 35; i++) {
    await one(i);
    // It is remembered across a restart.
    if (i === 15) await anna.stop().then(() => anna.start());
  }
  assert.deepEqual(anna.running!.status().problems, []);
  await fill(anna, "spool/many", 60);
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/spool/many`, { recursive: true });
  assert.match(
    await held(anna),
    /^60 of the 80 files in watched\/ would be deleted on bert at once/,
  );
  assert.equal(await filesIn(`${bert.synced}/spool/many`), 60);
  confirm(anna);
  await pair.mirrored();
});

Deno.test("guard: a folder that went, came back and went again counts as what it was the last time", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "c", 50);
  await fill(anna, "a", 40);
  await pair.start();
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/a`, { recursive: true });
  await pair.mirrored();
  await fill(anna, "b", 30);
  await fill(anna, "a", 40);
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/a`, { recursive: true });
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/b`, { recursive: true });
  assert.match(
    await held(anna),
    /^70 of the 120 files in watched\/ would be deleted on bert within ten minutes/,
  );
  assert.equal(await filesIn(`${bert.synced}/b`), 30);
});

Deno.test("guard: it says how much has gone already, and what was confirmed does not count again", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "d", 80);
  await pair.start();
  await pair.mirrored();
  for (let i = 0; i < 39; i++) await Deno.remove(`${anna.watched}/d/${i}`);
  await eventually("most of it went", async () => assert.equal(await filesIn(bert.synced), 41), SOON);
  await Deno.remove(`${anna.watched}/d/39`);
  await Deno.remove(`${anna.watched}/d/40`);
  await eventually("it is held", async () => {
    assert.match(
      await held(anna),
      /^41 of the 80 files in watched\/ would be deleted on bert within ten minutes, and 2 of them now \(d\/39, d\/40\):/,
    );
  }, SOON);
  confirm(anna);
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/d/41`);
  await pair.mirrored();
  assert.equal(await filesIn(bert.synced), 38);
  assert.deepEqual(anna.running!.status().problems, []);
});

Deno.test("guard: what is moved within the folder, or to another file system and back, is not deleted", async () => {
  await using pair = await Pair.make();
  const { anna } = pair;
  await fill(anna, "a/b", 55);
  await pair.start();
  await pair.mirrored();
  await Deno.rename(`${anna.watched}/a`, `${anna.watched}/renamed`);
  await pair.mirrored();
  // As `mv` does it across file systems: copied with its times, then deleted.
  await Deno.mkdir(`${anna.watched}/copied`);
  for (let i = 0; i < 55; i++) {
    const [from, to] = [`${anna.watched}/renamed/b/${i}`, `${anna.watched}/copied/${i}`];
    await Deno.copyFile(from, to);
    const { mtime } = await Deno.stat(from);
    await Deno.utime(to, mtime!, mtime!);
  }
  await Deno.remove(`${anna.watched}/renamed`, { recursive: true });
  await pair.mirrored();
  anna.command((store) => {
    const said = store.log.newest(1000, null).filter(({ action }) => action === "guard");
    assert.deepEqual(said.filter(({ error }) => !/there again, or was moved/.test(error!)).length, 0);
  });
});

Deno.test("guard: another watched folder given, and an emptied one, delete nothing", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "d", 60);
  await pair.start();
  await pair.mirrored();
  await anna.stop();
  await Deno.rename(anna.watched, `${anna.folder}/first`);
  await Deno.mkdir(anna.watched);
  await fill(anna, "other", 5);
  await anna.start();
  assert.match(await held(anna), /^60 of the 60 files in watched\/ would be deleted/);
  await eventually("the others come", async () => assert.equal(await filesIn(bert.synced), 65), SOON);
  // The right one again.
  await anna.stop();
  await Deno.rename(anna.watched, `${anna.folder}/second`);
  await Deno.rename(`${anna.folder}/first`, anna.watched);
  await anna.start();
  await pair.mirrored();
  assert.equal(await filesIn(bert.synced), 60);
});

Deno.test("guard: a run with once ends with what is left, and the next one sends what was confirmed before it", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "d", 60);
  await pair.start();
  await pair.mirrored();
  await anna.stop();
  await Deno.remove(`${anna.watched}/d`, { recursive: true });
  assert.deepEqual(await (await anna.start({ once: true })).finished, {
    reached: true,
    left: 61,
    problem: null,
  });
  await anna.stop();
  assert.equal(await filesIn(bert.synced), 60);
  assert.equal(anna.command((store) => readHeldDeletions(store, 1)).length, 1);
  assert.equal(confirm(anna), 61);
  assert.deepEqual(await (await anna.start({ once: true })).finished, {
    reached: true,
    left: 0,
    problem: null,
  });
  assert.equal(await filesIn(bert.synced), 0);
});

Deno.test("guard: a folder that a file takes the place of waits like one that is deleted", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(anna, "d", 60);
  await pair.start();
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/d`, { recursive: true });
  await Deno.writeTextFile(`${anna.watched}/d`, "a file");
  await held(anna);
  assert.equal(await filesIn(bert.synced), 60);
  confirm(anna);
  await pair.mirrored();
});

Deno.test("guard: half of a tree, or a tree of 50 files, goes without a word", async () => {
  await using pair = await Pair.make();
  const { anna } = pair;
  await fill(anna, "half", 102);
  await fill(anna, "small", 50);
  await pair.start();
  await pair.mirrored();
  await Deno.remove(`${anna.watched}/small`, { recursive: true });
  await pair.mirrored();
  for (let i = 0; i < 26; i++) await Deno.remove(`${anna.watched}/half/${i}`);
  await pair.mirrored();
  anna.command((store) => {
    assert.deepEqual(store.log.newest(1000, null).filter(({ action }) => action === "guard"), []);
  });
});

Deno.test("guard: a comparison of trees that goes wrong deletes nothing", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  await fill(bert, "own", 3);
  await pair.start();
  await pair.mirrored();
  await pair.stop();
  // The database of the peer has been mixed up: it says that what is its own was sent by us.
  await Deno.mkdir(`${bert.synced}/x`);
  for (let i = 0; i < 60; i++) await put(`${bert.synced}/x/${i}`, `${i}`);
  const marks = await Promise.all(
    Array.from({ length: 60 }, (_, i) => Deno.lstat(`${bert.synced}/x/${i}`)),
  );
  bert.command((store) => {
    for (const [i, { size, mtime, ctime, ino, dev }] of marks.entries()) {
      const mtimeMs = mtime!.getTime();
      store.synced.put({
        path: `x/${i}` as never,
        peer: 1,
        state: { kind: "file", sizeBytes: size, mtimeMs, executable: false, hash: `${i}`.padStart(64, "0") },
        disk: { sizeBytes: size, mtimeMs, ctimeMs: ctime!.getTime(), inode: ino!, device: dev },
      });
    }
  });
  await bert.start();
  anna.command((store) => {
    const peer = store.peers.list()[0]!;
    store.peers.remove(peer.name);
  });
  anna.trust(bert, bert.address);
  await anna.start();
  assert.match(await held(anna), /^60 of the 60 files in watched\/ would be deleted/);
  assert.equal(await filesIn(`${bert.synced}/x`), 60);
});

Deno.test("guard: nothing is held, and nobody is warned, where all that counts is gone already", async () => {
  await using pair = await Pair.make();
  const { anna } = pair;
  await fill(anna, "a", 120);
  await pair.start();
  await pair.mirrored();
  for (let i = 0; i < 50; i++) await Deno.remove(`${anna.watched}/a/${i}`);
  await pair.mirrored();
  // Of those that stay so many are moved away that the fifty were more than half.
  await Deno.mkdir(`${anna.watched}/b`);
  for (let i = 50; i < 80; i++) await Deno.rename(`${anna.watched}/a/${i}`, `${anna.watched}/b/${i}`);
  await pair.mirrored();
  assert.deepEqual(anna.running!.status().problems, []);
  anna.command((store) =>
    assert.deepEqual(store.log.newest(1000, null).filter(({ action }) => action === "guard"), [])
  );
});
