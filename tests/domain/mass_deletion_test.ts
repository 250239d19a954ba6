import assert from "node:assert/strict";
import { massDeletions, mostTogether } from "../../src/domain/mass_deletion.ts";

/** Judges how many files are to be deleted of how many, folder by folder. */
function judge(folders: Record<string, readonly [deleted: number, of: number]>) {
  const deleted = new Map(Object.entries(folders).map(([folder, [count]]) => [folder, count]));
  return massDeletions(deleted, (folder, limit) => Math.min(limit, folders[folder]![1]))
    .map(({ folder, deleted, of }) => [folder, deleted, of]);
}

Deno.test("mass deletion: more than half of more than 50 files, the topmost folder only", () => {
  assert.deepEqual(judge({ "": [60, 60], d: [60, 60], "d/e": [60, 60] }), [["", 60, 60]]);
  assert.deepEqual(judge({ "": [60, 1000], d: [60, 60] }), [["d", 60, 60]]);
  assert.deepEqual(judge({ "": [60, 1000], d: [60, 500], "d/e": [60, 61], "d/e/f": [60, 60] }), [[
    "d/e",
    60,
    61,
  ]]);
  assert.deepEqual(judge({ "": [120, 1000], a: [60, 70], "a-b": [60, 70] }), [["a", 60, 70], [
    "a-b",
    60,
    70,
  ]]);
  assert.deepEqual(judge({ "": [26, 51] }), [["", 26, 51]]);
});

Deno.test("mass deletion: half, or all of 50, is none", () => {
  assert.deepEqual(judge({ "": [25, 51] }), []);
  assert.deepEqual(judge({ "": [50, 100], d: [50, 50] }), []);
  assert.deepEqual(judge({ "": [51, 102], d: [51, 102] }), []);
  assert.deepEqual(judge({ "": [0, 0] }), []);
});

Deno.test("mass deletion: as many count as were there together", () => {
  assert.equal(mostTogether([]), 0);
  assert.equal(mostTogether([[0, 10], [10, 20], [20, Infinity]]), 1, "one after the other");
  assert.equal(mostTogether([[0, 10], [5, 20], [9, Infinity], [15, Infinity]]), 3);
  assert.equal(mostTogether([[0, Infinity], [5, Infinity], [7, 7]]), 2);
});
