import type { Database } from "./database.ts";

/** A journal in the staging folder that may still be needed. */
export interface JournalRow {
  /** Its name in the staging folder. */
  readonly name: string;
  /** Bytes from its start whose operations have their rows in `synced`. */
  readonly committedBytes: number;
  /** The paths of operations that had only begun and are still to be settled; `null` for all those past `committedBytes`. */
  readonly open: ReadonlySet<string> | null;
}

/** The table `journals`. A journal without a row here is of no use any more. */
export class JournalsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(name: string): void {
    this.#db.run("INSERT INTO journals (name, committed) VALUES (?, 0)", name);
  }

  setCommitted(name: string, bytes: number): void {
    this.#db.run("UPDATE journals SET committed = ? WHERE name = ?", bytes, name);
  }

  setOpen(name: string, paths: Iterable<string>): void {
    this.#db.run("UPDATE journals SET open = ? WHERE name = ?", JSON.stringify([...paths]), name);
  }

  remove(name: string): void {
    this.#db.run("DELETE FROM journals WHERE name = ?", name);
  }

  /** In the order in which they were begun. */
  list(): JournalRow[] {
    return this.#db.all("SELECT * FROM journals ORDER BY number").map((row) => ({
      name: row["name"] as string,
      committedBytes: row["committed"] as number,
      open: row["open"] === null ? null : new Set(JSON.parse(row["open"] as string) as string[]),
    }));
  }
}
