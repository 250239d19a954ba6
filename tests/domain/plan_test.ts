import assert from "node:assert/strict";
import {
  FOLDER_STATE,
  type Held,
  isProvisional,
  type Kind,
  type Observation,
  type PathState,
  PROVISIONAL_MS,
  sameStat,
  stateOf,
} from "../../src/domain/observation.ts";
import { foldedPath, stepFor } from "../../src/domain/plan.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";

const FILE: PathState = { kind: "file", sizeBytes: 5, mtimeMs: 1000, executable: false, hash: "aa" };

function observed(state: PathState, more: Partial<Observation> = {}): Observation {
  return {
    ...{ path: "p" as RelativePath, diskPath: "p", ctimeMs: 1000, inode: 1, device: 1 },
    ...{ provisional: false, held: null },
    ...state,
    ...more,
  };
}

const FOLDER = observed(FOLDER_STATE, { hash: "" });
const held = (as: Held) => observed(FILE, { held: as });
const step = (action: string, kind: Kind, sizeBytes: number) => ({ action, kind, sizeBytes });

Deno.test("the plan of one path: what is observed, what was acknowledged, what is to be done", () => {
  const table: Array<[string, Observation | null, PathState | null, object | null]> = [
    ["nothing, nowhere", null, null, null],
    ["a new file", observed(FILE), null, step("create", "file", 5)],
    ["a new file that was not read yet", observed(FILE, { hash: null }), null, step("create", "file", 5)],
    ["a new folder", FOLDER, null, step("create", "folder", 0)],
    ["a folder's own size does not count", { ...FOLDER, sizeBytes: 4096 }, null, step("create", "folder", 0)],
    ["a file that is gone", null, FILE, step("delete", "file", 0)],
    ["a folder that is gone", null, FOLDER_STATE, step("delete", "folder", 0)],
    ["a file that the peer has", observed(FILE), FILE, null],
    ["a folder that the peer has", FOLDER, FOLDER_STATE, null],
    ["a folder whose times changed", { ...FOLDER, mtimeMs: 9, sizeBytes: 9 }, FOLDER_STATE, null],
    ["other content", observed(FILE, { hash: "bb" }), FILE, step("update", "file", 5)],
    ["another size", observed(FILE, { sizeBytes: 6 }), FILE, step("update", "file", 6)],
    ["another mtime", observed(FILE, { mtimeMs: 1001 }), FILE, step("update", "file", 5)],
    ["another mode", observed(FILE, { executable: true }), FILE, step("update", "file", 5)],
    ["perhaps other content", observed(FILE, { hash: null }), FILE, step("update", "file", 5)],
    ["a file that became a folder", FOLDER, FILE, step("update", "folder", 0)],
    ["a folder that became a file", observed(FILE), FOLDER_STATE, step("update", "file", 5)],
    ["a new file that is ignored", held("ignored"), null, null],
    ["a file that became ignored", held("ignored"), { ...FILE, hash: "bb" }, null],
    ["a file that cannot be looked at", held("unknown"), { ...FILE, hash: "bb" }, null],
    ["a new file that cannot be looked at", held("unknown"), null, null],
  ];
  for (const [what, o, acked, expected] of table) assert.deepEqual(stepFor(o, acked), expected, what);
});

Deno.test("the state that a peer should hold", () => {
  assert.deepEqual(stateOf(observed(FILE)), FILE);
  assert.equal(stateOf(observed(FILE, { hash: null })), null);
  assert.deepEqual(stateOf({ ...FOLDER, sizeBytes: 4096, mtimeMs: 9 }), FOLDER_STATE);
});

Deno.test("two looks at one file", () => {
  const stat = { kind: "file", sizeBytes: 5, mtimeMs: 1, ctimeMs: 2, inode: 3, device: 4 } as const;
  assert(sameStat(stat, { ...stat }));
  for (const change of [{ sizeBytes: 6 }, { mtimeMs: 9 }, { ctimeMs: 9 }, { inode: 9 }, { device: 9 }]) {
    assert(!sameStat(stat, { ...stat, ...change }), JSON.stringify(change));
    const folder = { ...stat, kind: "folder" as const };
    const same = !("inode" in change || "device" in change);
    assert.equal(sameStat(folder, { ...folder, ...change }), same, JSON.stringify(change));
  }
  assert(!sameStat(stat, { ...stat, kind: "symlink" }));
});

Deno.test("a hash taken too soon after a change is provisional, and so is one from before it", () => {
  const stat = { mtimeMs: 10_000, ctimeMs: 9_000 };
  assert(isProvisional(stat, 10_000));
  assert(isProvisional(stat, 10_000 + PROVISIONAL_MS - 1));
  assert(!isProvisional(stat, 10_000 + PROVISIONAL_MS));
  assert(isProvisional(stat, 5_000));
  assert(isProvisional({ mtimeMs: 0, ctimeMs: 10_000 }, 11_000));
});

Deno.test("what a folding disk takes for one", () => {
  const none = { case: false, unicode: false };
  const caseOnly = { case: true, unicode: false };
  const both = { case: true, unicode: true };
  assert.equal(foldedPath("A/É.txt", none), "A/É.txt");
  assert.equal(foldedPath("A/É.txt", caseOnly), "a/é.txt");
  assert.equal(foldedPath("A/E\u0301.TXT", both), foldedPath("a/é.txt", both));
  assert.notEqual(foldedPath("e\u0301", caseOnly), foldedPath("é", caseOnly));
  assert.notEqual(
    foldedPath("A", { case: false, unicode: true }),
    foldedPath("a", { case: false, unicode: true }),
  );
  for (const folding of [none, caseOnly, both]) {
    for (const path of ["A/É.txt", "ß", "🪞", "İ"]) {
      const folded = foldedPath(path, folding);
      assert.equal(folded.split("/").length, path.split("/").length);
    }
  }
});
