import type { Database } from "./database.ts";

/** Wrong tries in a row. */
export interface LoginFailures {
  readonly failures: number;
  readonly lastMs: number;
}

/** Names that are remembered: whoever tries many must not fill the disk. */
const MAX_NAMES = 1000;

/** The table `login_failures`. */
export class LoginFailuresTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(name: string): LoginFailures | null {
    const row = this.#db.get("SELECT * FROM login_failures WHERE name = ?", name);
    return row && { failures: row["failures"] as number, lastMs: row["last_ms"] as number };
  }

  put(name: string, { failures, lastMs }: LoginFailures): void {
    this.#db.run("INSERT OR REPLACE INTO login_failures VALUES (?, ?, ?)", name, failures, lastMs);
    // The count over all names, under "", is never the one that goes.
    this.#db.run(
      "DELETE FROM login_failures WHERE name IN " +
        "(SELECT name FROM login_failures WHERE name <> '' ORDER BY last_ms DESC LIMIT -1 OFFSET ?)",
      MAX_NAMES,
    );
  }

  remove(name: string): void {
    this.#db.run("DELETE FROM login_failures WHERE name = ?", name);
  }

  clear(): void {
    this.#db.run("DELETE FROM login_failures");
  }
}
