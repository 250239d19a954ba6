import type { Kind, PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** Files above this size can be found by their hash (the indexes of `acked` and `synced` in migrations.ts say the same number). */
export const INDEXED_BYTES = 16_384;

/** A path with a state. */
export interface StatedPath {
  readonly path: RelativePath;
  readonly state: PathState;
}

/** A file that a peer has, or had. */
export interface HeldFile extends StatedPath {
  /** Since when; 0 when that is not known. Milliseconds of UTC. */
  readonly arrivedMs: number;
}

/** The table `acked`: the state of each path that a peer last acknowledged. */
export class AckedTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(peer: number, path: RelativePath): PathState | null {
    const row = this.#db.get("SELECT * FROM acked WHERE peer = ? AND path = ?", peer, path);
    return row && toState(row);
  }

  /** @param nowMs When the peer has got it, if it had nothing there before; 0 when that is not known. */
  put(peer: number, path: RelativePath, state: PathState, nowMs = 0): void {
    this.#db.run(
      "INSERT INTO acked VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (peer, path) DO UPDATE SET kind = excluded.kind, " +
        "size = excluded.size, mtime_ms = excluded.mtime_ms, executable = excluded.executable, hash = excluded.hash",
      peer,
      path,
      state.kind,
      state.sizeBytes,
      state.mtimeMs,
      Number(state.executable),
      state.hash,
      nowMs,
    );
  }

  remove(peer: number, path: RelativePath): void {
    this.#db.run("DELETE FROM acked WHERE peer = ? AND path = ?", peer, path);
  }

  /**
   * What lies below `folder`, the deepest last.
   *
   * @param limit The most paths that are given; all without it.
   */
  below(peer: number, folder: string, limit = -1): StatedPath[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all(
      "SELECT * FROM acked WHERE peer = ? AND path >= ? AND path < ? ORDER BY path LIMIT ?",
      peer,
      low,
      high,
      limit,
    )
      .map(toStatedPath);
  }

  /** Every acknowledged path, in order, without holding them all. */
  *each(peer: number): IterableIterator<StatedPath> {
    const rows = this.#db.prepare("SELECT * FROM acked WHERE peer = ? ORDER BY path").iterate(peer);
    for (const row of rows) yield toStatedPath(row as Row);
  }

  /** Paths of large enough files that a peer holds with this content, a few of them. */
  withHash(peer: number, hash: string): StatedPath[] {
    return this.#db.all(
      `SELECT * FROM acked WHERE hash = ? AND size > ${INDEXED_BYTES} AND peer = ? LIMIT 10`,
      hash,
      peer,
    ).map(toStatedPath);
  }

  /** Whether a peer holds a large file of just this size. */
  hasSize(peer: number, sizeBytes: number): boolean {
    return this.#db.get(
      "SELECT 1 FROM acked WHERE size = ? AND size > 262144 AND peer = ? LIMIT 1",
      sizeBytes,
      peer,
    ) !== null;
  }

  /** The peer has moved a folder, and with it all that lies in it. */
  moveFolder(peer: number, from: RelativePath, path: RelativePath): void {
    const [low, high] = rangeBelow(from);
    this.#db.run(
      "UPDATE OR REPLACE acked SET path = ? || substr(path, ?) WHERE peer = ? AND (path = ? OR (path >= ? AND path < ?))",
      path,
      [...from].length + 1,
      peer,
      from,
      low,
      high,
    );
  }

  /** Files below a folder (`""`: all), counted no further than `limit`. */
  filesBelow(peer: number, folder: string, limit: number): number {
    const [low, high] = rangeBelow(folder);
    return Number(
      this.#db.get(
        "SELECT count(*) AS n FROM (SELECT 1 FROM acked WHERE peer = ? AND path >= ? AND path < ? AND kind = 'file' LIMIT ?)",
        peer,
        low,
        high,
        limit,
      )!["n"],
    );
  }

  count(peer: number): number {
    return Number(this.#db.get("SELECT count(*) AS n FROM acked WHERE peer = ?", peer)!["n"]);
  }
}

/** Reads the columns that `acked` and `synced` share. */
export function toState(row: Row): PathState {
  return {
    kind: row["kind"] as Kind,
    sizeBytes: row["size"] as number,
    mtimeMs: row["mtime_ms"] as number,
    executable: row["executable"] === 1,
    hash: row["hash"] as string,
  };
}

export function toStatedPath(row: Row): StatedPath {
  return { path: row["path"] as RelativePath, state: toState(row) };
}

export function toHeldFile(row: Row): HeldFile {
  return { ...toStatedPath(row), arrivedMs: row["arrived_ms"] as number };
}
