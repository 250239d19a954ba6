import type { Database } from "./database.ts";

/** The table `chunk_lists`: how versions of large files were cut, kept by the sender for the versions that both sides hold. */
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

  /** Forgets the lists of versions that no peer is known to have any more: a list is the base for the next version. */
  sweep(): number {
    return this.#db.run("DELETE FROM chunk_lists WHERE hash NOT IN (SELECT hash FROM acked)");
  }
}
