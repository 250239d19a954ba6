import assert from "node:assert/strict";
import { DiskTree } from "../../src/system/disk_tree.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { Store } from "../../src/store/store.ts";
import { Ledger } from "../../src/watch/ledger.ts";
import { Recheck } from "../../src/watch/recheck.ts";
import type { FileStat } from "../../src/domain/observation.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";

const FILES = 1_500;
const PAGE_BYTES = 4_096;

Deno.test("many files that are read once more keep nobody waiting, and share their transactions", async () => {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.mkdirSync(`${folder}/watched`);
    const file = `${folder}/db.sqlite`;
    using store = new Store(file);
    const tree = new DiskTree(`${folder}/watched`);
    const long = new Date("2001-01-01");
    const hash = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"; // of "a"
    const rows: { path: RelativePath; stat: FileStat }[] = [];
    for (let i = 0; i < FILES; i++) {
      const path = `f${i}` as RelativePath;
      Deno.writeTextFileSync(`${folder}/watched/${path}`, "a");
      Deno.utimeSync(`${folder}/watched/${path}`, long, long);
      rows.push({ path, stat: (await tree.lstat(path))! });
    }
    store.transaction(() => {
      for (const { path, stat: { kind, executable, ...stat } } of rows) {
        assert.equal(kind, "file");
        store.observed.put({
          ...stat,
          path,
          diskPath: path,
          kind: "file",
          executable: executable ?? false,
          hash,
          provisional: true,
          held: null,
        });
      }
    });
    const before = Deno.statSync(`${file}-wal`).size;
    const clock = new FarAheadClock();
    const ledger = new Ledger(store, clock, () => assert.fail("nothing changed"), () => {});
    const recheck = new Recheck(tree, ledger, assert.fail, new AbortController().signal);
    let turns = 0;
    const turning = setInterval(() => turns++, 1);
    recheck.kick((error) => assert.fail(String(error)));
    await recheck.done;
    clearInterval(turning);
    assert.deepEqual(store.observed.provisional(), []);
    assert(turns > 1, "others had their turns");
    const written = Deno.statSync(`${file}-wal`).size - before;
    assert(written < FILES * PAGE_BYTES / 2, `${written} bytes were written for ${FILES} rows`);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

/** For it no file is young. */
class FarAheadClock extends SystemClock {
  override now(): number {
    return super.now() + 60_000;
  }
}
