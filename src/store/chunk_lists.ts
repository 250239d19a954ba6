import type { Database } from "./database.ts";

/** The table `chunk_lists`: how versions of large files were cut, kept for the versions that both sides hold. */
export class ChunkListsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(hash: string): Uint8Array | null {
    const row = this.#db.get("SELECT chunks FROM chunk_lists WHERE hash = ?", hash);
    return row && row["chunks"] as Uint8Array;
  }

  put(hash: string, chunks: Uint8Array, nowMs: number): void {
    this.#db.run("INSERT OR REPLACE INTO chunk_lists VALUES (?, ?, ?)", hash, chunks, nowMs);
  }

  has(hash: string): boolean {
    return this.#db.get("SELECT 1 FROM chunk_lists WHERE hash = ?", hash) !== null;
  }

  /** Forgets the lists of versions that nobody holds any more. */
  sweep(): number {
    return this.#db.run(
      "DELETE FROM chunk_lists WHERE hash NOT IN (SELECT hash FROM acked) AND hash NOT IN (SELECT hash FROM synced)",
    );
  }
}
