import type { Database } from "./database.ts";

/** Bytes that all lists together may have; the oldest go first. Without a list the receiver is asked what it has. */
const MAX_BYTES = 512 * 1024 * 1024;

/**
 * The table `chunk_lists`: how versions of large files were cut, kept by the sender for the versions that a peer holds; and
 * `chunk_hooks`, a few chunks of each list, by which a list can be found that has something in common with other content.
 */
export class ChunkListsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(hash: string): Uint8Array | null {
    const row = this.#db.get("SELECT chunks FROM chunk_lists WHERE hash = ?", hash);
    return row && row["chunks"] as Uint8Array;
  }

  /** Keeps the list of a version; `hooks` are CRC-32 of some of its chunks, which were cut to 2^`averageBits` bytes on average. */
  put(
    hash: string,
    chunks: Uint8Array,
    hooks: { readonly averageBits: number; readonly crcs: readonly number[] },
    nowMs: number,
  ): void {
    this.#db.run("INSERT OR REPLACE INTO chunk_lists VALUES (?, ?, ?)", hash, chunks, nowMs);
    const { list } = this.#db.get("SELECT rowid AS list FROM chunk_lists WHERE hash = ?", hash)!;
    for (const crc of hooks.crcs) {
      this.#db.run("INSERT OR IGNORE INTO chunk_hooks VALUES (?, ?, ?)", hooks.averageBits, crc, list!);
    }
  }

  /** Hashes of versions that may have a chunk, the latest first. */
  withHook(averageBits: number, crc: number): string[] {
    return this.#db.all(
      "SELECT hash FROM chunk_hooks JOIN chunk_lists ON chunk_lists.rowid = list " +
        "WHERE average_bits = ? AND crc = ? ORDER BY made_ms DESC LIMIT 4",
      averageBits,
      crc,
    ).map((row) => row["hash"] as string);
  }

  /** Whether there are lists with chunks of this average. */
  hasHooks(averageBits: number): boolean {
    return this.#db.get("SELECT 1 FROM chunk_hooks WHERE average_bits = ? LIMIT 1", averageBits) !== null;
  }

  /** Forgets the lists of versions that no peer is known to have any more, and the oldest when all are too large together. */
  sweep(): void {
    this.#db.transaction(() => {
      this.#db.run("DELETE FROM chunk_lists WHERE hash NOT IN (SELECT hash FROM acked)");
      this.#db.run(
        "DELETE FROM chunk_lists WHERE rowid IN (SELECT list FROM (SELECT rowid AS list, " +
          "sum(length(chunks)) OVER (ORDER BY made_ms DESC, rowid) AS total FROM chunk_lists) WHERE total > ?)",
        MAX_BYTES,
      );
      this.#db.run("DELETE FROM chunk_hooks WHERE list NOT IN (SELECT rowid FROM chunk_lists)");
    });
  }
}
