import assert from "node:assert/strict";
import { join } from "node:path";
import type { Observation } from "../../src/domain/observation.ts";
import { hashFile } from "../../src/receive/hash_file.ts";
import { hashOpen } from "../../src/send/read_version.ts";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";

/** Counts the turns that others get while `work` is done. */
async function turnsDuring(work: () => Promise<unknown>): Promise<number> {
  const clock = new SystemClock();
  let turns = 0;
  let over = false;
  const next = () => {
    turns++;
    if (!over) clock.after(0, next);
  };
  clock.after(0, next);
  await work();
  over = true;
  return turns;
}

Deno.test("a large file is hashed without keeping the links waiting, on either side", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mirrorsync-test-" });
  try {
    await Deno.writeFile(join(folder, "large"), new Uint8Array());
    await Deno.truncate(join(folder, "large"), 256 * 1024 * 1024);
    const tree = new DiskTree(folder);
    const clock = new SystemClock();
    const file = await tree.openRead("large");
    const observed = { path: "large" } as Observation; // only for what is said of a file that changes
    assert(await turnsDuring(() => hashOpen(file, file.opened, observed, clock)) > 2);
    file.close();
    assert(await turnsDuring(() => hashFile(tree, "large", clock)) > 2);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
