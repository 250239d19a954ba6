import type { Database } from "./database.ts";

/** The table `facts`: small JSON values by key, what the running process and the commands tell each other. */
export class FactsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** The value under `key`, `null` when there is none. The caller checks its shape. */
  get(key: string): unknown {
    const row = this.#db.get("SELECT value FROM facts WHERE key = ?", key);
    return row === null ? null : JSON.parse(row["value"] as string);
  }

  set(key: string, value: unknown): void {
    this.#db.run("INSERT OR REPLACE INTO facts VALUES (?, ?)", key, JSON.stringify(value));
  }

  /** The keys that begin with `prefix`, in their order. */
  keys(prefix: string): string[] {
    return this.#db.all(
      "SELECT key FROM facts WHERE substr(key, 1, length(?)) = ? ORDER BY key",
      prefix,
      prefix,
    ).map((row) => row["key"] as string);
  }

  remove(key: string): void {
    this.#db.run("DELETE FROM facts WHERE key = ?", key);
  }
}
