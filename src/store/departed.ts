import type { PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { type HeldFile, INDEXED_BYTES, toHeldFile } from "./acked.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** For how long it is remembered that a peer has had something: as long as its trash keeps it, unless it is told otherwise. */
const KEPT_MS = 30 * 86_400_000;
/** The same for small files, which are remembered only to count what is deleted at once. */
const SMALL_KEPT_MS = 3_600_000;

/** A file that a peer was told to delete. */
export interface DepartedFile extends HeldFile {
  readonly departedMs: number;
}

/** The table `departed`: files that a peer was told to delete, and versions that it was told to replace. */
export class DepartedTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /**
   * Notes that a peer has deleted or replaced a file, before that is forgotten in `acked`.
   *
   * @param counts Whether it counts as deleted: it was not replaced, not moved, and nobody has confirmed its deletion.
   */
  add(peer: number, path: RelativePath, state: PathState, counts: boolean, atMs: number): void {
    if (state.kind !== "file" || (!counts && state.sizeBytes <= INDEXED_BYTES)) return;
    this.#db.run(
      "INSERT INTO departed (peer, path, kind, size, mtime_ms, executable, hash, counts, at_ms, arrived_ms) VALUES " +
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce((SELECT arrived_ms FROM acked WHERE peer = ? AND path = ?), 0))",
      peer,
      path,
      state.kind,
      state.sizeBytes,
      state.mtimeMs,
      Number(state.executable),
      state.hash,
      Number(counts),
      atMs,
      peer,
      path,
    );
  }

  /** Files that were deleted since a time and that the peer does not have again, each path once, as it was when it went last. */
  *deletedSince(peer: number, sinceMs: number): IterableIterator<DepartedFile> {
    const rows = this.#db.prepare(
      "SELECT *, max(at_ms) AS latest FROM departed d WHERE peer = ? AND at_ms >= ? AND counts = 1 " +
        "AND NOT EXISTS (SELECT 1 FROM acked a WHERE a.peer = d.peer AND a.path = d.path) GROUP BY path ORDER BY path",
    ).iterate(peer, sinceMs);
    for (const row of rows) yield { ...toHeldFile(row as Row), departedMs: (row as Row)["at_ms"] as number };
  }

  /** Somebody has said that what was deleted in a folder (`""`: anywhere) was meant: it does not count any more. */
  forgive(peer: number, folder: string): void {
    const [low, high] = rangeBelow(folder);
    this.#db.run(
      "UPDATE departed SET counts = 0 WHERE peer = ? AND counts = 1 AND path >= ? AND path < ?",
      peer,
      low,
      high,
    );
  }

  /** Whether a peer has had a large enough file with this content. */
  hasHash(peer: number, hash: string): boolean {
    return this.#db.get(
      `SELECT 1 FROM departed WHERE hash = ? AND size > ${INDEXED_BYTES} AND peer = ? LIMIT 1`,
      hash,
      peer,
    ) !== null;
  }

  /** Whether a peer has had a large file of just this size. */
  hasSize(peer: number, sizeBytes: number): boolean {
    return this.#db.get(
      "SELECT 1 FROM departed WHERE size = ? AND size > 262144 AND peer = ? LIMIT 1",
      sizeBytes,
      peer,
    ) !== null;
  }

  /** Forgets what is too old. */
  sweep(nowMs: number): void {
    this.#db.run(
      `DELETE FROM departed WHERE at_ms < ? OR (at_ms < ? AND size <= ${INDEXED_BYTES})`,
      nowMs - KEPT_MS,
      nowMs - SMALL_KEPT_MS,
    );
  }
}
