import assert from "node:assert/strict";
import { parseByteSize } from "../../src/cli/byte_size.ts";

Deno.test("sizes that are understood", () => {
  const cases: (readonly [string | number, number | null])[] = [
    ...[["20GB", 20e9], ["1.5GiB", 1.5 * 2 ** 30], ["2 TB", 2e12], ["1TiB", 2 ** 40], ["500", 500]] as const,
    ...[[1, 1], ["0", null], ["0GB", null], [0, null], ["none", null]] as const,
  ];
  for (const [text, bytes] of cases) assert.equal(parseByteSize(text), bytes, String(text));
});

Deno.test("sizes that are not, each with what is wrong", () => {
  const cases: (readonly [string | number, RegExp])[] = [
    ...[["", /^"" is not a size$/], ["2GB/s", /not a size/], [-1, /^-1 is negative$/], [
      "2Gb",
      /bits/,
    ]] as const,
    ...[["2PB", /unknown unit, "PB"/], ["0.1", /too little/], ["99999999TB", /too much/]] as const,
  ];
  for (const [text, message] of cases) assert.throws(() => parseByteSize(text), { message }, String(text));
});
