import fc from "fast-check";
import assert from "node:assert/strict";
import { TokenBucket } from "../../src/domain/token_bucket.ts";
import { check } from "../fuzz/fuzz.ts";

/** Takes `takes` one after the other as fast as the bucket lets, with a rest before each; when each was taken, and how much. */
function run(bucket: TokenBucket, takes: readonly { readonly bytes: number; readonly restMs: number }[]) {
  let nowMs = 0;
  return takes.map(({ bytes, restMs }) => {
    nowMs += restMs;
    for (let waitMs = bucket.waitMs(nowMs); waitMs > 0; waitMs = bucket.waitMs(nowMs)) nowMs += waitMs;
    bucket.take(bytes, nowMs);
    return { atMs: nowMs, bytes };
  });
}

Deno.test("token bucket: over no stretch goes through more than burst, rate and the last taking allow", async () => {
  const takes = fc.array(fc.record({ bytes: fc.nat(5000), restMs: fc.oneof(fc.constant(0), fc.nat(3000)) }), {
    minLength: 1,
    maxLength: 60,
  });
  await check(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 5000 }),
      takes,
      (rate, burst, list) => {
        const taken = run(new TokenBucket(rate, burst, 0), list);
        for (let from = 0; from < taken.length; from++) {
          let before = 0;
          for (let to = from; to < taken.length; to++) {
            const elapsedMs = taken[to]!.atMs - taken[from]!.atMs;
            // What was taken before the last one of the stretch has been paid for.
            assert.ok(before <= burst + rate * elapsedMs / 1000 + 1e-6, `${before} bytes in ${elapsedMs} ms`);
            before += taken[to]!.bytes;
          }
        }
      },
    ),
    300,
  );
});

Deno.test("token bucket: whoever always asks gets the whole rate", async () => {
  const rates = fc.integer({ min: 1000, max: 10_000_000 });
  await check(
    fc.property(rates, fc.integer({ min: 1, max: 300_000 }), (rate, slice) => {
      const taken = run(new TokenBucket(rate, rate / 20, 0), Array(200).fill({ bytes: slice, restMs: 0 }));
      const seconds = taken.at(-1)!.atMs / 1000;
      const bytes = slice * taken.length;
      // Waiting is in whole milliseconds, and the bucket may catch up what that costs.
      assert.ok(bytes >= rate * (seconds - 0.002), `${bytes} bytes in ${seconds} s at ${rate} a second`);
    }),
    200,
  );
});

Deno.test("token bucket: a rest fills it to its burst and no further; debt is waited for", () => {
  const bucket = new TokenBucket(1000, 100, 0);
  bucket.take(100, 0);
  assert.equal(bucket.waitMs(0), 1, "empty");
  assert.equal(bucket.waitMs(1), 0, "a byte is enough");
  bucket.take(501, 1);
  assert.equal(bucket.waitMs(1), 500);
  assert.equal(bucket.waitMs(401), 100);
  assert.equal(bucket.waitMs(1_000_000), 0);
  bucket.take(200, 1_000_000);
  assert.equal(bucket.waitMs(1_000_000), 100, "100 were there");
  assert.equal(bucket.waitMs(999_999), 100, "a clock that goes back gives nothing");
});
