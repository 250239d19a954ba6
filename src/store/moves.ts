import type { Kind } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Database, Row } from "./database.ts";

/** A move in `synced/` that was begun. */
export interface BegunMove {
  readonly peer: number;
  readonly from: RelativePath;
  readonly path: RelativePath;
  readonly kind: Kind;
  /** Of a file; 0 for a folder. */
  readonly inode: number;
  /** The mtime that the file gets with the move. */
  readonly mtimeMs: number;
}

/** The table `moves`: written before the rename, removed with the rows that tell of its result. */
export class MovesTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  begin(move: BegunMove): void {
    this.#db.run(
      "INSERT INTO moves VALUES (?, ?, ?, ?, ?, ?)",
      move.peer,
      move.from,
      move.path,
      move.kind,
      move.inode,
      move.mtimeMs,
    );
  }

  list(): BegunMove[] {
    return this.#db.all("SELECT * FROM moves").map((row: Row) => ({
      peer: row["peer"] as number,
      from: row["from_path"] as RelativePath,
      path: row["path"] as RelativePath,
      kind: row["kind"] as Kind,
      inode: row["inode"] as number,
      mtimeMs: row["mtime_ms"] as number,
    }));
  }

  end({ peer, from, path }: BegunMove): void {
    this.#db.run("DELETE FROM moves WHERE peer = ? AND from_path = ? AND path = ?", peer, from, path);
  }
}
