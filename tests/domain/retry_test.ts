import assert from "node:assert/strict";
import { DIAL_BACKOFF, OPERATION_BACKOFF, retryDelayMs } from "../../src/domain/retry.ts";

Deno.test("waits double from the first to the longest", () => {
  const longest = (failures: number) => retryDelayMs(DIAL_BACKOFF, failures, 1);
  assert.deepEqual([1, 2, 3, 4, 8, 9].map(longest), [250, 500, 1000, 2000, 30_000, 30_000]);
  assert.equal(longest(7), 16_000);
  assert.equal(retryDelayMs(OPERATION_BACKOFF, 1, 1), 1000);
});

Deno.test("chance takes away up to half of a wait, never more", () => {
  for (const backoff of [DIAL_BACKOFF, OPERATION_BACKOFF]) {
    for (const failures of [1, 2, 5, 10, 31, 1000, 1e9]) {
      const full = retryDelayMs(backoff, failures, 1);
      assert.equal(retryDelayMs(backoff, failures, 0), Math.round(full / 2));
      assert.equal(retryDelayMs(backoff, failures, 0.5), Math.round(full * 0.75));
      assert(full <= backoff.maxMs);
    }
  }
});
