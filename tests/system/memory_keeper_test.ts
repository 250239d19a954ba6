import assert from "node:assert/strict";
import { createHash, type Hash } from "node:crypto";
import { MemoryKeeper } from "../../src/system/memory_keeper.ts";

const MEBIBYTE = 1024 * 1024;

Deno.test("what the runtime takes for next to nothing does not fill the memory", () => {
  const hash = createHash("sha256");
  const grow = () => {
    let last: Hash = hash;
    for (let i = 0; i < 120_000; i++) last = hash.copy();
    last.digest();
    return Deno.memoryUsage().rss;
  };
  using keeper = new MemoryKeeper();
  const start = Deno.memoryUsage().rss;
  const grown = grow();
  assert(grown - start > 16 * MEBIBYTE, "the test makes garbage that the runtime leaves lying");
  keeper.look();
  // What was freed serves again.
  assert(grow() - grown < 8 * MEBIBYTE);
});
