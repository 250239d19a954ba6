import assert from "node:assert/strict";
import type { FileStat, Observation } from "../../src/domain/observation.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { judge, notice, type Sign, type Unsettled } from "../../src/watch/settle.ts";

const START = 1_700_000_000_000;

function stat(sizeBytes: number, mtimeMs: number): FileStat {
  return {
    kind: "file",
    sizeBytes,
    mtimeMs,
    ctimeMs: Math.floor(mtimeMs / 1000) * 1000,
    inode: 7,
    device: 1,
    executable: false,
  };
}

function rowOf(seen: FileStat): Observation {
  const { sizeBytes, mtimeMs, ctimeMs, inode, device } = seen;
  const path = "f" as RelativePath;
  return {
    path,
    diskPath: path,
    kind: "file",
    sizeBytes,
    mtimeMs,
    ctimeMs,
    inode,
    device,
    executable: false,
    hash: "h",
    provisional: false,
    held: null,
  };
}

/** Plays signs and looks on one file; says when it is taken, in milliseconds from the start. */
class Play {
  #known: Unsettled | null = null;
  #row: Observation | null = null;
  #at = 0;

  constructor(readonly tellsClose: boolean, row: FileStat | null = null) {
    if (row !== null) this.#row = rowOf(row);
  }

  sign(atMs: number, sign: Sign): this {
    this.#at = atMs;
    this.#known = notice(this.#known, sign, this.#moment(), this.tellsClose);
    return this;
  }

  #moment() {
    return { monotonic: 500 + this.#at, wall: START + this.#at };
  }

  /** Looks whenever a look is due up to `untilMs`; `null` when it was not taken until then. */
  takenBy(untilMs: number, look: (atMs: number) => FileStat): number | null {
    for (let looks = 0; this.#known !== null && this.#known.dueAt - 500 <= untilMs; looks++) {
      assert(looks < 200, "looks without end");
      this.#at = Math.max(this.#at, this.#known.dueAt - 500);
      const next = judge(this.#known, look(this.#at), this.#row, this.#moment(), this.tellsClose);
      if (next === null) return this.#at;
      assert(next.dueAt > this.#at + 500, "the next look lies ahead");
      this.#known = next;
    }
    return null;
  }
}

function takenWithin(actual: number | null, from: number, to: number): void {
  assert(actual !== null && actual >= from && actual <= to, `taken at ${actual}, expected ${from} to ${to}`);
}

Deno.test("a save is taken right after its close", () => {
  const play = new Play(true).sign(0, "created").sign(0.2, "modified").sign(0.4, "closed");
  takenWithin(play.takenBy(100, () => stat(5, START)), 0.4, 3);
});

Deno.test("a file that is renamed into place is taken at once", () => {
  takenWithin(new Play(true).sign(0, "renamed").takenBy(100, () => stat(5, START - 1)), 0, 3);
});

Deno.test("a hard link is taken within milliseconds", () => {
  takenWithin(new Play(true).sign(0, "created").takenBy(100, () => stat(5, START - 90_000)), 0, 10);
  // Its content was written a moment ago: one more look makes certain that nobody is writing.
  takenWithin(new Play(true).sign(0, "created").takenBy(100, () => stat(5, START - 1)), 0, 30);
});

Deno.test("a file that somebody made and holds open is not taken half-done", () => {
  const play = new Play(true).sign(0, "created");
  assert.equal(play.takenBy(20, () => stat(0, START)), null);
  play.sign(30, "modified");
  assert.equal(play.takenBy(400, () => stat(10, START + 30)), null);
  play.sign(500, "modified");
  assert.equal(play.takenBy(900, () => stat(20, START + 500)), null);
  play.sign(950, "closed");
  takenWithin(play.takenBy(1000, () => stat(20, START + 500)), 950, 953);
});

Deno.test("the news of a write may come late on a busy machine: the file is not taken half-done", () => {
  const play = new Play(true).sign(0, "created");
  assert.equal(play.takenBy(20, () => stat(10, START)), null);
  play.sign(20, "modified");
  assert.equal(play.takenBy(1000, () => stat(10, START)), null);
});

Deno.test("a file that is held open and rests is taken after two seconds", () => {
  const play = new Play(true).sign(0, "created").sign(5, "modified");
  takenWithin(play.takenBy(5000, () => stat(10, START + 5)), 2000, 2500);
  takenWithin(new Play(true).sign(0, "created").takenBy(5000, () => stat(0, START)), 2000, 2500);
});

Deno.test("a log that never rests goes out every ten seconds", () => {
  const play = new Play(true, stat(1, START - 5000));
  let taken: number | null = null;
  for (let at = 0; at < 30_000 && taken === null; at += 100) {
    play.sign(at, "modified");
    taken = play.takenBy(at + 99, () => stat(1 + at, START + at));
  }
  takenWithin(taken, 10_000, 10_200);
});

Deno.test("a mapped file that changes without events is not taken while it does", () => {
  const play = new Play(true).sign(0, "modified");
  const taken = play.takenBy(20_000, (at) => stat(10, START + Math.min(at, 5000)));
  takenWithin(taken, 6000, 10_000);
});

Deno.test("changed attributes are taken at once", () => {
  const seen = stat(10, START - 200);
  takenWithin(
    new Play(true, seen).sign(0, "modified").takenBy(100, () => ({ ...seen, executable: true })),
    0,
    10,
  );
  // Another time: a write would have set it to the present.
  takenWithin(
    new Play(true, seen).sign(0, "modified").takenBy(100, () => stat(10, START - 3_600_000)),
    0,
    10,
  );
  // Made executable right after it was saved, before the save was taken.
  const play = new Play(true).sign(0, "created").sign(1, "modified").sign(1.5, "closed").sign(2, "modified");
  takenWithin(play.takenBy(100, () => stat(5, START + 1)), 0, 10);
});

Deno.test("a file that only a scan found is taken when it rests", () => {
  const play = new Play(true).sign(0, "scanned");
  assert.equal(play.takenBy(350, (at) => stat(at, START + at - 1)), null);
  takenWithin(play.takenBy(1000, () => stat(400, START + 351)), 351, 600);
  takenWithin(new Play(true).sign(0, "scanned").takenBy(500, () => stat(1, START + 90_000)), 0, 101);
});

Deno.test("where nobody tells of a close, 50 ms of quiet decide", () => {
  const play = new Play(false).sign(0, "created").sign(10, "modified").sign(40, "modified");
  takenWithin(play.takenBy(500, () => stat(10, START + 40)), 90, 145);
  let taken: number | null = null;
  const restless = new Play(false);
  for (let at = 0; at < 15_000 && taken === null; at += 20) {
    restless.sign(at, "modified");
    taken = restless.takenBy(at + 19, () => stat(at, START + at));
  }
  takenWithin(taken, 9_900, 10_100);
});
