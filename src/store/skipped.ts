import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** Why something in `watched/` is not sent. */
export type SkipReason = "symlink" | "special" | "not_utf8" | "unicode_twin" | "bad_name" | "unreadable";

/** Something in `watched/` that is not sent. */
export interface Skipped {
  /** As the disk shows it. */
  readonly path: string;
  readonly reason: SkipReason;
  readonly message: string;
  readonly sinceMs: number;
}

/** The table `skipped`. */
export class SkippedTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Notes it; tells whether it is new (the path was not skipped for this reason before). */
  add(entry: Skipped): boolean {
    return this.#db.run(
      "INSERT INTO skipped VALUES (?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET reason = excluded.reason, " +
        "message = excluded.message, since_ms = excluded.since_ms WHERE reason <> excluded.reason",
      entry.path,
      entry.reason,
      entry.message,
      entry.sinceMs,
    ) > 0;
  }

  get(path: string): Skipped | null {
    const row = this.#db.get("SELECT * FROM skipped WHERE path = ?", path);
    return row && toSkipped(row);
  }

  remove(path: string): void {
    this.#db.run("DELETE FROM skipped WHERE path = ?", path);
  }

  below(folder: string): Skipped[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all("SELECT * FROM skipped WHERE path >= ? AND path < ? ORDER BY path", low, high).map(
      toSkipped,
    );
  }

  /** What could not be read: how much of it there is, and the first of it. */
  unreadable(): { readonly count: number; readonly first: Skipped | null } {
    const row = this.#db.get("SELECT count(*) AS n FROM skipped WHERE reason = 'unreadable'")!;
    const first = this.#db.get(
      "SELECT * FROM skipped WHERE reason = 'unreadable' ORDER BY since_ms, path LIMIT 1",
    );
    return { count: Number(row["n"]), first: first && toSkipped(first) };
  }

  count(): number {
    return Number(this.#db.get("SELECT count(*) AS n FROM skipped")!["n"]);
  }

  list(): Skipped[] {
    return this.#db.all("SELECT * FROM skipped ORDER BY path").map(toSkipped);
  }
}

function toSkipped(row: Row): Skipped {
  return {
    path: row["path"] as string,
    reason: row["reason"] as SkipReason,
    message: row["message"] as string,
    sinceMs: row["since_ms"] as number,
  };
}
