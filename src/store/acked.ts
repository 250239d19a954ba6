import type { Kind, PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** A path with a state. */
export interface StatedPath {
  readonly path: RelativePath;
  readonly state: PathState;
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

  put(peer: number, path: RelativePath, state: PathState): void {
    this.#db.run(
      "INSERT OR REPLACE INTO acked VALUES (?, ?, ?, ?, ?, ?, ?)",
      peer,
      path,
      state.kind,
      state.sizeBytes,
      state.mtimeMs,
      Number(state.executable),
      state.hash,
    );
  }

  remove(peer: number, path: RelativePath): void {
    this.#db.run("DELETE FROM acked WHERE peer = ? AND path = ?", peer, path);
  }

  /** What lies below `folder`, the deepest last. */
  below(peer: number, folder: string): StatedPath[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all(
      "SELECT * FROM acked WHERE peer = ? AND path >= ? AND path < ? ORDER BY path",
      peer,
      low,
      high,
    )
      .map(toStatedPath);
  }

  /** Every acknowledged path, in order, without holding them all. */
  *each(peer: number): IterableIterator<StatedPath> {
    const rows = this.#db.prepare("SELECT * FROM acked WHERE peer = ? ORDER BY path").iterate(peer);
    for (const row of rows) yield toStatedPath(row as Row);
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
