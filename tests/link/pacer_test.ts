import assert from "node:assert/strict";
import { JointPace } from "../../src/link/joint_pace.ts";
import { pieceBytesAt } from "../../src/link/limits.ts";
import { PacedSource } from "../../src/link/paced_source.ts";
import { Pacer } from "../../src/link/pacer.ts";
import type { Pace } from "../../src/wire/pace.ts";
import { ManualClock, turns } from "../receive/support.ts";

/** Somebody who always has something to send; how much has gone. */
function greedy(pace: Pace): { bytes: number; stop(): void } {
  const sender = { bytes: 0, stop: () => {} };
  const ask = () => {
    sender.stop = pace.wait(() => {
      sender.bytes += pace.sliceBytes;
      pace.took(pace.sliceBytes);
      queueMicrotask(ask);
    });
  };
  ask();
  return sender;
}

Deno.test("pacer: one link gets the rate, three share it evenly", async () => {
  for (const count of [1, 3]) {
    const clock = new ManualClock();
    const pacer = new Pacer(100_000, clock);
    const senders = Array.from({ length: count }, () => greedy(pacer));
    await clock.advance(5_000);
    const total = senders.reduce((sum, { bytes }) => sum + bytes, 0);
    assert.ok(Math.abs(total - 500_000) < 10_000, `${total} bytes in 5 s`);
    for (const { bytes } of senders) assert.ok(Math.abs(bytes - total / count) <= 2 * pacer.sliceBytes);
    for (const { stop } of senders) stop();
  }
});

Deno.test("pacer: what did not wait counts, and the others wait for it", async () => {
  const clock = new ManualClock();
  const pacer = new Pacer(100_000, clock);
  pacer.took(104_000); // 4,000 were there
  let went = false;
  pacer.wait(() => went = true);
  await clock.advance(990);
  assert.equal(went, false);
  assert.equal(pacer.isOpen, false);
  await clock.advance(20);
  assert.equal(went, true);
  assert.equal(pacer.isOpen, true);
});

Deno.test("pacer: who gives up leaves his turn to the next one", async () => {
  const clock = new ManualClock();
  const pacer = new Pacer(100_000, clock);
  pacer.took(50_000);
  const went: string[] = [];
  const giveUp = pacer.wait(() => went.push("first"));
  pacer.wait(() => went.push("second"));
  giveUp();
  await clock.advance(1_000);
  assert.deepEqual(went, ["second"]);
  giveUp();
});

Deno.test("joint pace: the slower of two decides, and both are used", async () => {
  const clock = new ManualClock();
  const slow = new Pacer(10_000, clock), fast = new Pacer(100_000, clock);
  for (const joint of [new JointPace(slow, fast), new JointPace(fast, slow)]) {
    const before = clock.monotonic();
    const sender = greedy(joint);
    await clock.advance(10_000);
    assert.equal(joint.bytesPerSecond, 10_000);
    assert.ok(
      Math.abs(sender.bytes - 100_000) < 5_000,
      `${sender.bytes} in ${clock.monotonic() - before} ms`,
    );
    sender.stop();
    await clock.advance(10_000);
  }
  const joint = new JointPace(fast, slow);
  joint.took(20_000);
  assert.equal(fast.isOpen, false);
  assert.equal(slow.isOpen, false);
});

Deno.test("paced source: gives all bytes in order at the rate, and reads no chunk before the last one is gone", async () => {
  const clock = new ManualClock();
  let reads = 0;
  const chunks = Array.from({ length: 10 }, (_, i) => new Uint8Array(10_000).fill(i));
  const source = new PacedSource(() => Promise.resolve(chunks[reads++] ?? null), new Pacer(10_000, clock));
  const got: number[] = [];
  let ended = false;
  const reading = (async () => {
    for (let part = await source.read(); part !== null; part = await source.read()) got.push(...part);
    ended = true;
  })();
  await clock.advance(3_000);
  assert.ok(Math.abs(got.length - 30_000) < 2_000, `${got.length} bytes after 3 s`);
  assert.ok(reads <= 4);
  await clock.advance(8_000);
  await reading;
  assert.ok(ended);
  assert.deepEqual(got, chunks.flatMap((chunk) => [...chunk]));
});

Deno.test("paced source: stopping ends the wait and drops what was not given", async () => {
  const clock = new ManualClock();
  const pacer = new Pacer(10_000, clock);
  let closed = false;
  const read = () => closed ? Promise.reject(new Error("closed")) : Promise.resolve(new Uint8Array(10_000));
  const source = new PacedSource(read, pacer);
  pacer.took(1_000_000);
  const waiting = source.read();
  await turns();
  closed = true;
  source.stop();
  assert.equal((await waiting)?.length, 0);
  await assert.rejects(source.read(), /closed/);
});

Deno.test("pieces are short where bytes are few", () => {
  const pace = (bytesPerSecond: number) => new Pacer(bytesPerSecond, new ManualClock());
  assert.equal(pieceBytesAt(null), 256 * 1024);
  assert.equal(pieceBytesAt(pace(100e6)), 256 * 1024);
  assert.equal(pieceBytesAt(pace(1e6)), 100_000);
  assert.equal(pieceBytesAt(pace(10_000)), 16 * 1024);
});
