import assert from "node:assert/strict";
import { whenDone } from "../../src/peer/once.ts";
import { SystemClock } from "../../src/system/system_clock.ts";

/** Its time goes by a thousand times as fast. */
class FastClock extends SystemClock {
  override monotonic(): number {
    return super.monotonic() * 1000;
  }
}

const PROBLEM = "the disk that holds the database is full";

Deno.test("once: a folder that cannot be looked through for long ends the run with the reason", async () => {
  const { result } = whenDone({
    clock: new FastClock(),
    linked: () => true,
    settled: () => false, // nobody can be sure of anything while what is seen cannot be written down
    left: () => 0,
    problem: () => PROBLEM,
    unread: () => null,
    silentMs: () => 0,
  });
  assert.deepEqual(await result, { reached: true, left: 0, problem: PROBLEM });
});

Deno.test("once: a folder that can be looked through again is waited for", async () => {
  let looks = 0;
  const { result } = whenDone({
    clock: new SystemClock(),
    linked: () => true,
    settled: () => looks > 3,
    left: () => 0,
    problem: () => ++looks <= 3 ? PROBLEM : null,
    unread: () => null,
    silentMs: () => 0,
  });
  assert.deepEqual(await result, { reached: true, left: 0, problem: null });
});

Deno.test("once: what could not be read is told at the end, and is not waited for", async () => {
  const { result } = whenDone({
    clock: new SystemClock(),
    linked: () => true,
    settled: () => true,
    left: () => 0,
    problem: () => null,
    unread: () => PROBLEM,
    silentMs: () => 0,
  });
  assert.deepEqual(await result, { reached: true, left: 0, problem: PROBLEM });
});

Deno.test("once: a peer that keeps the link and does nothing is not waited for for ever", async () => {
  const clock = new FastClock();
  const since = clock.monotonic();
  const { result } = whenDone({
    clock,
    linked: () => true,
    settled: () => false,
    left: () => 2,
    problem: () => null,
    unread: () => null,
    silentMs: () => clock.monotonic() - since,
  });
  assert.deepEqual(await result, {
    reached: true,
    left: 2,
    problem: "the other side has done nothing for 2 hours",
  });
});
