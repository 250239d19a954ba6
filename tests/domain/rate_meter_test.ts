import fc from "fast-check";
import assert from "node:assert/strict";
import { RateMeter } from "../../src/domain/rate_meter.ts";
import { check } from "../fuzz/fuzz.ts";

Deno.test("a rate is not known from one look, and steady from then on", async () => {
  const looks = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 2, maxLength: 100 });
  await check(
    fc.property(fc.nat(1e9), fc.nat(1e6), looks, (start, perMs, gapsMs) => {
      const meter = new RateMeter();
      let atMs = 5000;
      meter.add(atMs, start);
      assert.equal(meter.perSecond, null);
      for (const gapMs of gapsMs) {
        atMs += gapMs;
        meter.add(atMs, start + perMs * (atMs - 5000));
        if (meter.perSecond === null) assert.ok(atMs - 5000 < 500);
        else assert.ok(Math.abs(meter.perSecond - perMs * 1000) <= perMs * 1e-6);
      }
    }),
    200,
  );
});

Deno.test("only the last few seconds count: a stall is seen, and what follows it", () => {
  const meter = new RateMeter();
  let atMs = 0;
  const look = (total: number) => meter.add(atMs += 500, total);
  for (let i = 0; i <= 20; i++) look(i * 1000);
  assert.equal(meter.perSecond, 2000);
  for (let i = 0; i < 5; i++) look(20_000);
  assert.equal(meter.perSecond, 1000);
  for (let i = 0; i < 5; i++) look(20_000);
  assert.equal(meter.perSecond, 0);
  for (let i = 1; i <= 10; i++) look(20_000 + i * 1000);
  assert.equal(meter.perSecond, 2000);
});

Deno.test("a total that goes back is another beginning", () => {
  const meter = new RateMeter();
  for (let i = 0; i < 10; i++) meter.add(i * 500, i * 1e6);
  meter.add(5000, 0);
  assert.equal(meter.perSecond, null);
  meter.add(6000, 300);
  assert.equal(meter.perSecond, 300);
});
