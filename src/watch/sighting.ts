import { type FileStat, type Held, type Observation, sameStat } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { formatTimestamp } from "../domain/timestamp.ts";

/** What changed at one path: the row in `observed` before and after. */
export interface Change {
  readonly path: RelativePath;
  readonly before: Observation | null;
  readonly after: Observation | null;
  /** Where the same file or folder was observed before it was found at this path; `null` if nowhere. */
  readonly movedFrom: RelativePath | null;
}

/** What one look found at one path, to be worked into the table `observed`. */
export type Sighting =
  | {
    readonly kind: "present";
    readonly path: RelativePath;
    readonly diskPath: string;
    /** Of a file or folder. */
    readonly stat: FileStat;
    /** The stat differs from the row's in the device's number alone, which the system gave anew. */
    readonly renumbered?: boolean;
    /** The content that was read last cannot be trusted although the stat is the same. */
    readonly distrusted?: boolean;
  }
  | { readonly kind: "gone"; readonly path: RelativePath }
  | { readonly kind: "held"; readonly path: RelativePath; readonly held: Held };

/**
 * The stat as it is observed and compared: its mtime is one that a timestamp can express. Whoever compares a stat of its own with an
 * observation compares this.
 */
export function observedStat(stat: FileStat): FileStat {
  // The years 0 to 9999; nearly every time is far inside, so ask only the others.
  if (stat.mtimeMs > -60_000_000_000_000 && stat.mtimeMs < 250_000_000_000_000) return stat;
  return { ...stat, mtimeMs: Date.parse(formatTimestamp(stat.mtimeMs)) };
}

/**
 * The observation of a file that was found at a new path, with the hash that was read of it at the old one, if by its stat it cannot
 * have changed since. A file that was renamed by itself has a new ctime, and is read again; one whose folder was renamed has not.
 */
export function withKnownHash(fresh: Observation, before: Observation): Observation {
  if (fresh.kind !== "file" || fresh.hash !== null || before.hash === null || !sameStat(fresh, before)) {
    return fresh;
  }
  return { ...fresh, hash: before.hash, provisional: before.provisional };
}

/** Whether a row tells of exactly this, so that there is nothing to do. */
export function isUnchanged(row: Observation, diskPath: string, stat: FileStat): boolean {
  return row.held === null && matches(row, diskPath, stat);
}

function matches(row: Observation, diskPath: string, stat: FileStat): boolean {
  return row.diskPath === diskPath && sameStat(row, stat) &&
    (row.kind === "folder" || stat.executable === null || stat.executable === row.executable);
}

/** The row that belongs to a path after a sighting; `row` itself when nothing changed. */
export function nextObservation(row: Observation | null, sighting: Sighting): Observation | null {
  switch (sighting.kind) {
    case "gone":
      return null;
    case "held":
      // What is ignored and cannot be seen besides stays ignored.
      return row === null || row.held === "ignored" || row.held === sighting.held
        ? row
        : { ...row, held: sighting.held };
    case "present": {
      const { diskPath, stat } = sighting;
      if (row !== null && matches(row, diskPath, stat)) {
        if (sighting.distrusted && row.hash !== null) {
          return { ...row, hash: null, provisional: false, held: null };
        }
        return row.held === null ? row : { ...row, held: null };
      }
      if (
        row !== null && sighting.renumbered && row.hash !== null &&
        matches(row, diskPath, { ...stat, device: row.device })
      ) {
        // Most likely the same content; it is read once more in the background, without being sent again.
        return { ...row, device: stat.device, provisional: row.kind === "file", held: null };
      }
      return appeared(sighting, row);
    }
  }
}

function appeared(sighting: Sighting & { kind: "present" }, row: Observation | null): Observation {
  const { path, diskPath, stat } = sighting;
  const isFolder = stat.kind === "folder";
  return {
    path,
    diskPath,
    kind: isFolder ? "folder" : "file",
    sizeBytes: isFolder ? 0 : stat.sizeBytes,
    mtimeMs: stat.mtimeMs,
    ctimeMs: stat.ctimeMs,
    inode: stat.inode,
    device: stat.device,
    executable: !isFolder && (stat.executable ?? row?.executable ?? false),
    hash: isFolder ? "" : null,
    provisional: false,
    held: null,
  };
}
