import assert from "node:assert/strict";
import type { TransferProgress } from "../../src/domain/status.ts";
import { TransferRates } from "../../src/peer/transfer_rates.ts";
import { ManualClock } from "../receive/support.ts";

function transfer(path: string, doneBytes: number, startedMs = 5): TransferProgress {
  return { direction: "sending", peer: "bert", path, doneBytes, sizeBytes: 10_000, startedMs };
}

Deno.test("each transfer has a rate of its own, and the time that is left at it", async () => {
  const clock = new ManualClock();
  const rates = new TransferRates(clock);
  const look = (...transfers: TransferProgress[]) =>
    rates.measure(transfers).map(({ bytesPerSecond, leftMs }) => [bytesPerSecond, leftMs]);
  assert.deepEqual(look(transfer("a", 0), transfer("b", 5000)), [[null, null], [null, null]]);
  await clock.advance(1000);
  assert.deepEqual(look(transfer("a", 1000), transfer("b", 5500)), [[1000, 9000], [500, 9000]]);
  await clock.advance(1000);
  assert.deepEqual(look(transfer("b", 5500), transfer("a", 2000)), [[250, 18_000], [1000, 8000]]);
  await clock.advance(6000);
  assert.deepEqual(look(transfer("a", 2000), transfer("b", 10_000)).map(([, leftMs]) => leftMs), [null, 0]);
  await clock.advance(6000);
  assert.deepEqual(look(transfer("a", 2000)), [[0, null]], "it does not move");
});

Deno.test("a transfer that has ended is forgotten: the next one of the same file begins anew", async () => {
  const clock = new ManualClock();
  const rates = new TransferRates(clock);
  const rate = (...transfers: TransferProgress[]) => rates.measure(transfers).map((t) => t.bytesPerSecond);
  rate(transfer("a", 0));
  await clock.advance(1000);
  assert.deepEqual(rate(transfer("a", 3000)), [3000]);
  assert.deepEqual(rate(transfer("a", 9000, 1005)), [null], "another start");
  assert.deepEqual(rate(), []);
  await clock.advance(1000);
  assert.deepEqual(rate(transfer("a", 3000)), [null]);
});
