import assert from "node:assert/strict";
import { FileError } from "../../src/domain/ports.ts";
import { MAX_PATH_PARTS } from "../../src/domain/relative_path.ts";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { operation } from "../helpers/plain_client.ts";
import { exists, put, sha256 } from "../helpers/tree.ts";
import { folder, ReceiveBench } from "./bench.ts";
import { type Call, death, namesIn } from "./support.ts";

function moveFile(from: string, path: string, content: string, more: JsonObject = {}) {
  return { ...operation("create", path, content), action: "move", path, from, kind: "file", ...more };
}

function moveFolder(from: string, path: string) {
  return { ...folder("create", path), action: "move", path, from };
}

/** A folder of the peer with two files in it. */
async function withFolder(bench: ReceiveBench): Promise<void> {
  const anna = bench.link();
  await anna.accepted(folder("create", "d"));
  await anna.accepted(operation("create", "d/a.txt", "aaa"), "aaa");
  await anna.accepted(operation("create", "d/e/b.txt", "bbb"), "bbb");
  await bench.rest();
}

/** Every call on the disk that a move makes that changes something. */
const CHANGES = [
  "mkdir",
  "link",
  "unlink",
  "rename",
  "setTimes",
  "setExecutable",
  "flushFile",
  "flushFolder",
];

Deno.test("moves: a crash before or after any of their steps loses nothing, and takes nothing for an edit", async (t) => {
  const moves = {
    "a file": {
      header: () => moveFile("d/a.txt", "new/a.txt", "aaa", { timestamp: "2026-01-01T00:00:00.000Z" }),
      steps: 7,
    },
    "a folder": { header: () => moveFolder("d", "new/d"), steps: 4 },
  };
  for (const [what, { header, steps }] of Object.entries(moves)) {
    for (const when of ["before", "after"] as const) {
      for (let step = 1; step <= steps; step++) {
        await t.step(`${what}, ${when} step ${step}`, async () => {
          await using bench = await ReceiveBench.open();
          await withFolder(bench);
          const asked = header();
          const calls: string[] = [];
          let count = 0, dead = false;
          bench.tree[when] = (call: Call) => {
            if (dead) return death();
            calls.push(call.method);
            if (!CHANGES.includes(call.method) || ++count < step) return;
            dead = true;
            bench.tree.before = bench.tree.after = death;
            return death();
          };
          await bench.link().send(asked);
          await eventually("the process died", () => assert.ok(dead, calls.join()), {
            deadlineMs: 1000,
            everyMs: 2,
          });
          if (when === "before" && calls.at(-1) === "unlink") {
            // One file under two names: what puts that right changes its ctime, which counts in seconds.
            const diedSeconds = Math.floor(Date.now() / 1000);
            await eventually("another second", () => {
              assert.notEqual(Math.floor(Date.now() / 1000), diedSeconds);
            });
          }
          await using again = await bench.restarted();
          const anna = again.link();
          // The sender asks again; if it is told that it cannot be done, it goes on in single steps.
          const { header: reply } = await anna.request(asked);
          assert.ok(reply.status === "ok" || reply.code === "cannot_move", JSON.stringify(reply));
          if (reply.status !== "ok") {
            assert.ok(await exists(`${again.synced}/d/a.txt`), "still at its old place");
          } else if (what === "a file") {
            assert.equal(await Deno.readTextFile(`${again.synced}/new/a.txt`), "aaa");
            assert.equal(await exists(`${again.synced}/d/a.txt`), false);
          } else {
            assert.equal(await Deno.readTextFile(`${again.synced}/new/d/e/b.txt`), "bbb");
            assert.equal(await exists(`${again.synced}/d`), false);
          }
          await again.receiver.inspect(again.anna);
          const notes = again.store.log.newest(100, null).filter(({ action }) =>
            action === "conflict" || action === "vanished"
          );
          assert.deepEqual(notes.map(({ path }) => path), [], "nothing was taken for an edit by hand");
          await again.rest();
        });
      }
    }
  }
});

Deno.test("moves: what is not as the peer left it, or in the way, is left alone", async (t) => {
  const cases: Record<
    string,
    { prepare: (bench: ReceiveBench) => Promise<unknown>; move: ReturnType<typeof moveFolder>; code?: string }
  > = {
    "a file edited by hand": {
      prepare: (bench) => Deno.writeTextFile(`${bench.synced}/d/a.txt`, "mine"),
      move: moveFile("d/a.txt", "x", "aaa"),
    },
    "another hash than it has": { prepare: () => Promise.resolve(), move: moveFile("d/a.txt", "x", "other") },
    "something at the new path": {
      prepare: (bench) => put(`${bench.synced}/x`, "mine"),
      move: moveFile("d/a.txt", "x", "aaa"),
    },
    "a file that is not there": { prepare: () => Promise.resolve(), move: moveFile("d/none", "x", "aaa") },
    "a folder with a file of the reader": {
      prepare: (bench) => put(`${bench.synced}/d/e/mine.txt`, "mine"),
      move: moveFolder("d", "x"),
    },
    "a folder with an edited file": {
      prepare: (bench) => Deno.writeTextFile(`${bench.synced}/d/e/b.txt`, "mine"),
      move: moveFolder("d", "x"),
    },
    "a folder with something deleted by hand": {
      prepare: (bench) => Deno.remove(`${bench.synced}/d/a.txt`),
      move: moveFolder("d", "x"),
    },
    "a folder into itself": { prepare: () => Promise.resolve(), move: moveFolder("d", "d/e/f") },
    "a folder that is another peer's too": {
      prepare: (bench) => bench.link(bench.bert).accepted(operation("create", "d/bert.txt", "b"), "b"),
      move: moveFolder("d", "x"),
    },
    "a file of another peer": {
      prepare: (bench) => bench.link(bench.bert).accepted(operation("create", "berts", "b"), "b"),
      move: moveFile("berts", "x", "b"),
    },
    "through a symlink": {
      prepare: (bench) => Deno.symlink(bench.folder, `${bench.synced}/out`),
      move: moveFile("d/a.txt", "out/x", "aaa"),
    },
    "from behind a symlink": {
      prepare: async (bench) => {
        await Deno.rename(`${bench.synced}/d`, `${bench.folder}/d`);
        await Deno.symlink(`${bench.folder}/d`, `${bench.synced}/d`);
      },
      move: moveFile("d/a.txt", "x", "aaa"),
    },
  };
  for (const [name, { prepare, move }] of Object.entries(cases)) {
    await t.step(name, async () => {
      await using bench = await ReceiveBench.open();
      await withFolder(bench);
      await prepare(bench);
      const refusal = await bench.link().refused(move);
      assert.equal(refusal.code, "cannot_move", String(refusal.message));
      if (name !== "something at the new path") assert.equal(await exists(`${bench.synced}/x`), false);
      assert.equal(await exists(`${bench.folder}/x`), false);
      await bench.link().accepted(operation("create", "after", "s"), "s");
    });
  }
});

Deno.test("moves: a step that the disk refuses, once or for a while, leaves nothing that nobody knows of", async (t) => {
  const moves = {
    "a file": {
      header: () => moveFile("d/a.txt", "new/a.txt", "aaa", { timestamp: "2026-01-01T00:00:00.000Z" }),
      steps: 7,
    },
    "a folder": { header: () => moveFolder("d", "new/d"), steps: 4 },
  };
  for (const [what, { header, steps }] of Object.entries(moves)) {
    for (const forLong of [false, true]) {
      for (let step = 1; step <= steps; step++) {
        await t.step(`${what}, step ${step}${forLong ? " and all that follow" : ""}`, async () => {
          await using bench = await ReceiveBench.open();
          await withFolder(bench);
          let count = 0;
          bench.tree.before = ({ method }) => {
            if (!CHANGES.includes(method) || ++count < step || (!forLong && count > step)) return;
            throw new FileError("io", "the disk is broken");
          };
          const anna = bench.link();
          const { header: reply } = await anna.request(header());
          assert.equal(reply.code, "io_error");
          await bench.receiver.inspect(bench.anna);
          bench.tree.before = () => {};
          const notes = bench.store.log.newest(100, null).filter(({ action }) => action === "vanished");
          assert.deepEqual(notes.map(({ path }) => path), [], "nothing was taken for a deletion by hand");
          // The sender has changed its mind, and wants to have none of it.
          const files = ["d/a.txt", "d/e/b.txt", "new/a.txt", "new/d/a.txt", "new/d/e/b.txt"];
          for (const path of files) await anna.accepted(operation("delete", path));
          for (const path of ["d/e", "d", "new/d/e", "new/d", "new"]) {
            await anna.accepted(folder("delete", path));
          }
          await bench.rest();
          assert.deepEqual(await namesIn(bench.synced), []);
          assert.deepEqual(bench.store.moves.list(), []);
        });
      }
    }
  }
});

Deno.test("moves: one that comes twice is answered again and does nothing", async () => {
  await using bench = await ReceiveBench.open();
  await withFolder(bench);
  const anna = bench.link();
  for (const move of [moveFile("d/a.txt", "d/c.txt", "aaa"), moveFolder("d", "x/y")]) {
    await anna.accepted(move);
    const inode = (await Deno.stat(`${bench.synced}/${move.path}`)).ino;
    await anna.accepted({ ...move, id: crypto.randomUUID() });
    assert.equal((await Deno.stat(`${bench.synced}/${move.path}`)).ino, inode);
  }
  assert.equal(sha256(await Deno.readFile(`${bench.synced}/x/y/c.txt`)), sha256("aaa"));
  // What was moved is updated and deleted at its new place like any other.
  await anna.accepted(operation("update", "x/y/c.txt", "new"), "new");
  await anna.accepted(operation("delete", "x/y/e/b.txt", ""));
  assert.equal(await exists(`${bench.synced}/x/y/e/b.txt`), false);
});

Deno.test("moves: nothing gets a path by being moved along that could not have come by itself", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const half = Array(MAX_PATH_PARTS / 2).fill("x").join("/");
  await anna.accepted(operation("create", `d/${half}/a.txt`, "aaa"), "aaa");
  await anna.accepted(folder("create", "d"));
  assert.equal((await anna.refused(moveFolder("d", `e/${half}`))).code, "cannot_move");
  assert.equal(await exists(`${bench.synced}/d/${half}/a.txt`), true);
  await anna.accepted(moveFolder("d", "e/f"));
});
