import assert from "node:assert/strict";
import type { FileStat } from "../../src/domain/observation.ts";
import type { RelativePath } from "../../src/domain/relative_path.ts";
import { Store } from "../../src/store/store.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { Ledger, type Page } from "../../src/watch/ledger.ts";
import type { Change, Sighting } from "../../src/watch/sighting.ts";

let inodes = 0;

function stat(kind: "file" | "folder"): FileStat {
  return { kind, sizeBytes: 0, mtimeMs: 1, ctimeMs: 1, inode: ++inodes, device: 1, executable: false };
}

function present(path: string, kind: "file" | "folder"): Sighting {
  return { kind: "present", path: path as RelativePath, diskPath: path, stat: stat(kind) };
}

function write(page: Page, ...sightings: Sighting[]): RelativePath[] {
  for (const sighting of sightings) page.add(sighting);
  return page.commit();
}

for (const becomes of ["a file", "nothing"] as const) {
  Deno.test(`ledger: nothing stays noted in a folder that becomes ${becomes}, whoever noted it meanwhile`, () => {
    const folder = Deno.makeTempDirSync();
    try {
      using store = new Store(`${folder}/db.sqlite`);
      const changes: Change[] = [];
      const ledger = new Ledger(store, new SystemClock(), (some) => changes.push(...some), () => {});
      using early = ledger.page();
      write(early, present("x", "folder"), present("x/before", "file"));
      // It has seen what becomes of the folder, and then waits for its turn.
      using slow = ledger.page();
      slow.add(becomes === "a file" ? present("x", "file") : { kind: "gone", path: "x" as RelativePath });
      using quick = ledger.page();
      write(quick, present("x/meanwhile", "file"));
      changes.length = 0;
      const again = slow.commit();
      assert.deepEqual(
        [...store.observed.each()].map(({ path, kind }) => `${kind} ${path}`),
        becomes === "a file" ? ["file x"] : [],
      );
      assert.deepEqual(
        changes.map(({ path, after }) => `${path} ${after?.kind ?? "gone"}`),
        [`x ${becomes === "a file" ? "file" : "gone"}`, "x/meanwhile gone", "x/before gone"],
      );
      assert.deepEqual(again, ["x/meanwhile", "x/before"], "to be looked at once more");
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  });
}
