import { randomFillSync } from "node:crypto";
import { join } from "node:path";
import { hashFile, lstatOrNull } from "../support/tree.ts";

/** Files to be mirrored, prepared beside the folders that they are moved into. */
export interface Workload {
  /** What it is, for the table. */
  readonly title: string;
  /** Holds the one folder `set`, which is what is moved. */
  readonly prepared: string;
  readonly bytes: number;
  /** The names of the files in each folder below `set`; `""` is `set` itself. */
  readonly folders: ReadonlyMap<string, ReadonlySet<string>>;
}

/** The name of the folder that is moved in and out in one rename. */
export const SET = "set";

/** `count` files of `sizeBytes` random bytes, 100 to a folder. */
export function makeSmallFiles(parent: string, count: number, sizeBytes: number): Workload {
  const prepared = join(parent, "small");
  const folders = new Map<string, Set<string>>();
  const content = new Uint8Array(sizeBytes);
  for (let i = 0; i < count; i++) {
    const folder = `folder ${String(Math.floor(i / 100)).padStart(4, "0")}`;
    let names = folders.get(folder);
    if (names === undefined) {
      folders.set(folder, names = new Set());
      Deno.mkdirSync(join(prepared, SET, folder), { recursive: true });
    }
    const name = `file ${String(i).padStart(6, "0")}.bin`;
    names.add(name);
    Deno.writeFileSync(join(prepared, SET, folder, name), randomFillSync(content));
  }
  const title = `${count.toLocaleString("en-US")} files of ${sizeBytes / 1024} KiB`;
  return { title, prepared, bytes: count * sizeBytes, folders };
}

/** One file of random bytes. */
export function makeLargeFile(parent: string, mebibytes: number): Workload {
  const prepared = join(parent, "large");
  Deno.mkdirSync(join(prepared, SET), { recursive: true });
  using file = Deno.createSync(join(prepared, SET, "large.bin"));
  const content = new Uint8Array(1 << 20);
  for (let i = 0; i < mebibytes; i++) {
    randomFillSync(content);
    for (let written = 0; written < content.length;) written += file.writeSync(content.subarray(written));
  }
  const title = mebibytes % 1024 === 0
    ? `one file of ${mebibytes / 1024} GiB`
    : `one file of ${mebibytes} MiB`;
  return { title, prepared, bytes: mebibytes * (1 << 20), folders: new Map([["", new Set(["large.bin"])]]) };
}

/**
 * Looks whether all of a workload is there, cheaply enough to be asked every few milliseconds beside the programs that are
 * measured: a folder that was complete is not read again. All three programs rename files into place when they are whole.
 */
export function arrivalOf(workload: Workload, target: string): () => boolean {
  const missing = [...workload.folders];
  return () => {
    for (let next = missing.at(-1); next !== undefined; next = missing.at(-1)) {
      const [folder, names] = next;
      let there = 0;
      try {
        for (const entry of Deno.readDirSync(join(target, SET, folder))) if (names.has(entry.name)) there++;
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
      if (there < names.size) return false;
      missing.pop();
    }
    return true;
  };
}

/** How many files are not there or have other content; outside of the time that is measured. */
export function countWrong(workload: Workload, source: string, target: string): number {
  let wrong = 0;
  for (const [folder, names] of workload.folders) {
    for (const name of names) {
      const copy = join(target, SET, folder, name);
      if (lstatOrNull(copy) === null || hashFile(join(source, SET, folder, name)) !== hashFile(copy)) wrong++;
    }
  }
  return wrong;
}
