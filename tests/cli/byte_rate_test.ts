import fc from "fast-check";
import assert from "node:assert/strict";
import { parseByteRate } from "../../src/cli/byte_rate.ts";
import { check } from "../fuzz/fuzz.ts";

Deno.test("limits that are understood", () => {
  const cases: [string | number, number | null][] = [
    ["2MB/s", 2_000_000],
    ["500KB/s", 500_000],
    ["500kB/s", 500_000],
    ["1.5MiB/s", 1_572_864],
    ["64 KiB/s", 65_536],
    ["1GB", 1e9],
    ["0.5GiB/s", 2 ** 29],
    [" 2000B/s ", 2000],
    ["250000", 250_000],
    [250_000, 250_000],
    [1234.5, 1235],
    ["0", null],
    ["0MB/s", null],
    [0, null],
    ["none", null],
  ];
  for (const [text, bytesPerSecond] of cases) assert.equal(parseByteRate(text), bytesPerSecond, String(text));
});

Deno.test("limits that are not, each with what is wrong", () => {
  const cases: [string | number, RegExp][] = [
    ["", /^"" is not a rate$/],
    ["fast", /"fast" is not a rate/],
    ["-1MB/s", /is negative/],
    [-1, /^-1 is negative/],
    ["2Mb/s", /not clear: a small b stands for bits/],
    ["100mbps", /not clear: a small b stands for bits/],
    ["2XB/s", /in an unknown unit, "XB"/],
    ["2m", /in an unknown unit, "m"/],
    ["2MB/h", /not a rate/],
    ["2MB/s/s", /not a rate/],
    ["1,5MB/s", /not a rate/],
    ["1e6", /in an unknown unit|not a rate/],
    [NaN, /not a rate/],
    [Infinity, /not a rate/],
    ["999B/s", /"999B\/s" is too little/],
    [5, /^5 is too little/],
    ["0.1", /too little/],
    ["99999999999GB/s", /too much/],
    ["9".repeat(400), /too much/],
  ];
  for (const [text, message] of cases) assert.throws(() => parseByteRate(text), { message }, String(text));
});

Deno.test("any text is a limit in its range, none, or refused", async () => {
  const text = fc.oneof(
    fc.string(),
    fc.tuple(fc.float({ min: 0, noNaN: true }), fc.constantFrom("", "B", "MB/s", "KiB/s", "mb/s")).map((p) =>
      p.join("")
    ),
  );
  await check(
    fc.property(text, (value) => {
      let rate: number | null;
      try {
        rate = parseByteRate(value);
      } catch (error) {
        assert.ok(error instanceof Error);
        return;
      }
      assert.ok(rate === null || Number.isSafeInteger(rate) && rate >= 1000, `${value}: ${rate}`);
    }),
    500,
  );
});
