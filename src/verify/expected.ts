import { type FileStat, type Observation, sameStat } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { sameMark } from "../receive/apply.ts";
import type { Store } from "../store/store.ts";
import type { DiskMark, Synced } from "../store/synced.ts";
import { observedStat } from "../watch/sighting.ts";
import type { Side } from "./finding.ts";

/** What the database remembers of a file, to be compared with what is on the disk. */
export interface Expected {
  readonly side: Side;
  readonly path: RelativePath;
  /** The path as the disk has it. */
  readonly diskPath: string;
  readonly sizeBytes: number;
  /** SHA-256 of the content that belongs to the stat; `null` when it is not certain yet. */
  readonly hash: string | null;
  /** Another one whenever anything of this is. */
  readonly stamp: string;
  /** Whether a stat is the remembered one in every part: then nobody has touched the file since. */
  readonly isAsLeft: (stat: FileStat) => boolean;
}

const PAGE = 500;

/** What is remembered of one file of `watched/`; `null` when it is not sent, or is no file. */
export function expectedInWatched(store: Store, path: RelativePath): Expected | null {
  const row = store.observed.get(path);
  return row === null ? null : ofObservation(row);
}

/** What is remembered of one file that a peer has put into `synced/`. */
export function expectedInSynced(store: Store, peer: number, path: RelativePath): Expected | null {
  const row = store.synced.get(peer, path);
  return row === null ? null : ofSynced(row);
}

/** All files of `watched/`. The table may change meanwhile. */
export function* allInWatched(store: Store): IterableIterator<Expected> {
  for (let after = "";;) {
    const page = store.observed.page(after, PAGE);
    if (page.length === 0) return;
    after = page.at(-1)!.path;
    for (const row of page) {
      const expected = ofObservation(row);
      if (expected !== null) yield expected;
    }
  }
}

/** All files that a peer has put into `synced/`. The table may change meanwhile. */
export function* allInSynced(store: Store, peer: number): IterableIterator<Expected> {
  for (let after = "";;) {
    const page = store.synced.page(peer, after, PAGE);
    if (page.length === 0) return;
    after = page.at(-1)!.path;
    for (const row of page) {
      const expected = ofSynced(row);
      if (expected !== null) yield expected;
    }
  }
}

function ofObservation(row: Observation): Expected | null {
  if (row.kind !== "file" || row.held !== null) return null;
  return {
    side: "watched",
    path: row.path,
    diskPath: row.diskPath,
    sizeBytes: row.sizeBytes,
    hash: row.provisional ? null : row.hash,
    stamp: stampOf(row.hash, row),
    isAsLeft: (stat) => sameStat(observedStat(stat), row),
  };
}

function ofSynced(row: Synced): Expected | null {
  if (row.state.kind !== "file") return null;
  return {
    side: "synced",
    path: row.path,
    diskPath: row.path,
    sizeBytes: row.state.sizeBytes,
    hash: row.state.hash,
    stamp: stampOf(row.state.hash, row.disk),
    isAsLeft: (stat) => sameMark(stat, row),
  };
}

function stampOf(hash: string | null, { sizeBytes, mtimeMs, ctimeMs, inode, device }: DiskMark): string {
  return [hash, sizeBytes, mtimeMs, ctimeMs, inode, device].join(" ");
}
