import assert from "node:assert/strict";
import type { PeerEvent } from "../../src/domain/events.ts";
import type { Problem, RunStatus } from "../../src/domain/status.ts";
import { LONG_MS, Notices } from "../../src/notify/notices.ts";

const START = Date.UTC(2026, 10, 26);
const MINUTE = 60_000;

type PeerState = Pick<RunStatus["peers"][number], "link" | "inSync">;

/** A state of which only what a notice can be about is of interest. */
function status(peer: PeerState | null, ...problems: Problem[]): RunStatus {
  const peers = peer === null ? [] : [{ ...peer, name: "desktop" }];
  return { problems, peers } as unknown as RunStatus;
}

const UP: PeerState = { link: "up", inSync: true };
const AWAY: PeerState = { link: "connecting", inSync: false };
const CATCHING_UP: PeerState = { link: "up", inSync: false };

const problem = (code: string, sinceMs = START): Problem => ({ code, message: `it is ${code}`, sinceMs });
const conflict = (path: string): PeerEvent => ({ kind: "conflict", level: "info", message: "kept", path });
const titles = (notices: Notices, state: RunStatus, atMs: number, last = false) =>
  notices.look(state, atMs, last).map(({ title }) => title);

Deno.test("notices: conflicts that come together are one; the next one is another", () => {
  const notices = new Notices(START, {}, new Map());
  for (const name of ["a", "b", "b", "c", "d", "e"]) notices.tell(conflict(`${name}.txt`), START);
  assert.deepEqual(titles(notices, status(null), START + 1_000), []);
  const [notice, ...more] = notices.look(status(null), START + 6_000);
  assert.deepEqual(more, []);
  assert.match(notice!.text, /a\.txt, b\.txt, c\.txt and 2 more\.$/);
  assert.deepEqual(titles(notices, status(null), START + MINUTE), []);
  notices.tell(conflict("f.txt"), START + MINUTE);
  assert.deepEqual(titles(notices, status(null), START + MINUTE, true), ["A file was changed on both sides"]);
});

Deno.test("notices: a problem is said once while it lasts, over restarts too, and again when it comes anew", () => {
  const notices = new Notices(START, {}, new Map());
  const full = (sinceMs: number) => status(null, problem("no_space", sinceMs));
  assert.deepEqual(titles(notices, full(START), START), ["The disk is full"]);
  // It has room for a moment, and is full again: still the same.
  assert.deepEqual(titles(notices, status(null), START + MINUTE), []);
  assert.deepEqual(titles(notices, full(START + 2 * MINUTE), START + 2 * MINUTE), []);
  const restarted = new Notices(START + 3 * MINUTE, notices.said, new Map());
  assert.deepEqual(titles(restarted, full(START), START + 3 * MINUTE), []);
  assert.deepEqual(titles(restarted, status(null), START + 60 * MINUTE), []);
  assert.deepEqual(titles(restarted, full(START), START + 61 * MINUTE), ["The disk is full"]);
  assert.deepEqual(titles(restarted, status(null, problem("watcher")), START + 62 * MINUTE), []);
});

Deno.test("notices: each held deletion is said once, however long it waits", () => {
  const guard = (...since: number[]) => status(null, ...since.map((at) => problem("deletion_guard", at)));
  const notices = new Notices(START, {}, new Map());
  assert.equal(titles(notices, guard(1), START).length, 1);
  const dayAfter = new Notices(START + 24 * LONG_MS, notices.said, new Map());
  assert.deepEqual(titles(dayAfter, guard(1), START + 24 * LONG_MS), []);
  assert.deepEqual(titles(dayAfter, guard(1, 2), START + 25 * LONG_MS), ["Deletions wait for you"]);
  assert.deepEqual(titles(dayAfter, guard(), START + 26 * LONG_MS), []);
  assert.deepEqual(Object.keys(dayAfter.said), []);
});

Deno.test("notices: a peer that is away for long is said once, and that it is back in sync", () => {
  const notices = new Notices(START, {}, new Map([["desktop", START - MINUTE]]));
  const at = (minutes: number) => START + minutes * MINUTE;
  assert.deepEqual(titles(notices, status(UP), at(0)), []);
  assert.deepEqual(titles(notices, status(AWAY), at(30)), []);
  assert.deepEqual(titles(notices, status(AWAY), at(61)), ["desktop has been away for an hour"]);
  assert.deepEqual(titles(notices, status(AWAY), at(62)), []);
  const restarted = new Notices(at(600), notices.said, new Map([["desktop", at(0)]]));
  assert.deepEqual(titles(restarted, status(AWAY), at(700)), []);
  assert.deepEqual(titles(restarted, status(CATCHING_UP), at(730)), []);
  assert.deepEqual(titles(restarted, status(UP), at(731)), ["Back in sync with desktop"]);
  assert.deepEqual(titles(restarted, status(AWAY), at(732)), []);
  assert.deepEqual(titles(restarted, status(UP), at(740)), []); // a short absence is nobody's business
});

Deno.test("notices: after the start a peer is given a moment to come; one that was never there is not missed", () => {
  const away = new Notices(START, {}, new Map([["desktop", START - 5 * LONG_MS]]));
  assert.deepEqual(titles(away, status(AWAY), START + MINUTE), []);
  assert.deepEqual(titles(away, status(UP), START + MINUTE + 1), ["Back in sync with desktop"]);
  const never = new Notices(START, {}, new Map([["desktop", null]]));
  assert.deepEqual(titles(never, status(AWAY), START + 24 * LONG_MS), []);
});

Deno.test("notices: a renewed certificate", () => {
  const notices = new Notices(START, {}, new Map());
  notices.tell({ kind: "identity", level: "info", message: "desktop has a new identity" }, START);
  assert.deepEqual(notices.look(status(null), START), [
    { title: "Certificate renewed", text: "desktop has a new identity." },
  ]);
  assert.deepEqual(notices.look(status(null), START), []);
});
