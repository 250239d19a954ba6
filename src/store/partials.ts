import type { RelativePath } from "../domain/relative_path.ts";
import type { Database, Row } from "./database.ts";

/** A large file of which a beginning came, checked, before its link was cut. */
export interface Partial {
  readonly peer: number;
  readonly path: RelativePath;
  /** Disk path in the staging folder. */
  readonly staged: string;
  /** Of the whole file, as its sender announced it. */
  readonly sizeBytes: number;
  /** Bytes from the start that were checked. */
  readonly verifiedBytes: number;
  /** How many of these travelled; the others were copied from what was here. */
  readonly sentBytes: number;
  readonly updatedMs: number;
}

/** The table `partials`. */
export class PartialsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(peer: number, path: RelativePath): Partial | null {
    const row = this.#db.get("SELECT * FROM partials WHERE peer = ? AND path = ?", peer, path);
    return row && toPartial(row);
  }

  put(p: Partial): void {
    this.#db.run(
      "INSERT OR REPLACE INTO partials VALUES (?, ?, ?, ?, ?, ?, ?)",
      p.peer,
      p.path,
      p.staged,
      p.sizeBytes,
      p.verifiedBytes,
      p.updatedMs,
      p.sentBytes,
    );
  }

  remove(peer: number, path: RelativePath): void {
    this.#db.run("DELETE FROM partials WHERE peer = ? AND path = ?", peer, path);
  }

  /** Whatever path a staged file was the beginning of, it is no more. */
  removeStaged(staged: string): void {
    this.#db.run("DELETE FROM partials WHERE staged = ?", staged);
  }

  /** Those of a peer. */
  of(peer: number): Partial[] {
    return this.#db.all("SELECT * FROM partials WHERE peer = ?", peer).map(toPartial);
  }

  /** All of them, the latest first. */
  list(): Partial[] {
    return this.#db.all("SELECT * FROM partials ORDER BY updated_ms DESC, path").map(toPartial);
  }
}

function toPartial(row: Row): Partial {
  return {
    peer: row["peer"] as number,
    path: row["path"] as RelativePath,
    staged: row["staged"] as string,
    sizeBytes: row["size"] as number,
    verifiedBytes: row["verified"] as number,
    sentBytes: row["sent"] as number,
    updatedMs: row["updated_ms"] as number,
  };
}
