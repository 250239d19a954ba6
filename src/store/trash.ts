import type { PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { INDEXED_BYTES, toState } from "./acked.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** What a peer has deleted or replaced in `synced/`, before it is numbered. */
export interface NewTrashed {
  /** Number of the peer that had put it there; it may have been removed since. */
  readonly peer: number;
  /** Where it was in `synced/`. */
  readonly path: RelativePath;
  readonly state: PathState;
  /** Where the content is, as a path of the tree of `synced/`; `null` for a folder. */
  readonly stored: string | null;
  readonly reason: "deleted" | "replaced";
  /** When it had come into its place, milliseconds of UTC; 0 when that is not known. */
  readonly placedMs: number;
  /** When it went from its place. */
  readonly trashedMs: number;
}

/** A version in the trash. A higher number was put there later. */
export interface Trashed extends NewTrashed {
  readonly number: number;
}

/** What the trash holds in all. */
export interface TrashCount {
  readonly files: number;
  readonly folders: number;
  /** Bytes that the files take, each rounded up to whole blocks of the disk. */
  readonly bytes: number;
  readonly oldestMs: number | null;
}

/** The usual block of a file system: a file of one byte takes as much. */
const BLOCK_BYTES = 4096;
const ON_DISK = `((size + ${BLOCK_BYTES - 1}) / ${BLOCK_BYTES} * ${BLOCK_BYTES})`;

/** The bytes that a file of this size takes on the disk. */
export function bytesOnDisk(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * BLOCK_BYTES;
}

/** The table `trash`. */
export class TrashTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(t: NewTrashed): void {
    this.#db.run(
      "INSERT INTO trash (peer, path, kind, size, mtime_ms, executable, hash, stored, reason, placed_ms, trashed_ms) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      t.peer,
      t.path,
      t.state.kind,
      t.state.sizeBytes,
      t.state.mtimeMs,
      Number(t.state.executable),
      t.state.hash,
      t.stored,
      t.reason,
      t.placedMs,
      t.trashedMs,
    );
  }

  remove(number: number): void {
    this.#db.run("DELETE FROM trash WHERE number = ?", number);
  }

  /** Whether a row tells of the content that is stored there. */
  hasStored(stored: string): boolean {
    return this.#db.get("SELECT 1 FROM trash WHERE stored = ?", stored) !== null;
  }

  /** A page of everything, the oldest first, after the number `after`. */
  page(after: number, limit: number): Trashed[] {
    return this.#db.all("SELECT * FROM trash WHERE number > ? ORDER BY number LIMIT ?", after, limit)
      .map(toTrashed);
  }

  /** The newest first; `glob` as SQLite's GLOB, over the whole path. */
  newest(limit: number, glob: string | null): Trashed[] {
    return this.#db.all(
      "SELECT * FROM trash WHERE path GLOB ? ORDER BY number DESC LIMIT ?",
      glob ?? "*",
      limit,
    ).map(toTrashed);
  }

  /** All versions of a path and of what lay below it (`""`: of everything), in the order in which they went. */
  of(path: string): Trashed[] {
    const [low, high] = rangeBelow(path);
    return this.#db.all(
      "SELECT * FROM trash WHERE path = ? OR (path >= ? AND path < ?) ORDER BY number",
      path,
      low,
      high,
    ).map(toTrashed);
  }

  /** Versions with this content that a peer had put here, the newest first. */
  withHash(peer: number, hash: string): Trashed[] {
    return this.#db.all(
      `SELECT * FROM trash WHERE hash = ? AND size > ${INDEXED_BYTES} AND peer = ? ORDER BY number DESC LIMIT 3`,
      hash,
      peer,
    ).map(toTrashed);
  }

  /** Those that went before a time, the oldest first. */
  before(trashedMs: number, limit: number): Trashed[] {
    return this.#db.all("SELECT * FROM trash WHERE trashed_ms < ? ORDER BY number LIMIT ?", trashedMs, limit)
      .map(toTrashed);
  }

  /** Replaced versions of files that have more than `kept` newer ones here, the oldest first. */
  superseded(kept: number, limit: number): Trashed[] {
    return this.#db.all(
      "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY path ORDER BY number DESC) AS age FROM trash) " +
        "WHERE age > ? AND reason = 'replaced' ORDER BY number LIMIT ?",
      kept,
      limit,
    ).map(toTrashed);
  }

  count(): TrashCount {
    const row = this.#db.get(
      `SELECT sum(kind = 'file') AS files, sum(kind = 'folder') AS folders, sum(${ON_DISK}) AS bytes, ` +
        "min(trashed_ms) AS oldest FROM trash",
    )!;
    return {
      files: Number(row["files"] ?? 0),
      folders: Number(row["folders"] ?? 0),
      bytes: Number(row["bytes"] ?? 0),
      oldestMs: row["oldest"] as number | null,
    };
  }
}

function toTrashed(row: Row): Trashed {
  return {
    number: row["number"] as number,
    peer: row["peer"] as number,
    path: row["path"] as RelativePath,
    state: toState(row),
    stored: row["stored"] as string | null,
    reason: row["reason"] as Trashed["reason"],
    placedMs: row["placed_ms"] as number,
    trashedMs: row["trashed_ms"] as number,
  };
}
