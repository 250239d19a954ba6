import type { PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { toState } from "./acked.ts";
import type { Database, Row } from "./database.ts";

/** A commit that was begun: what the path is about to become, and where its old content is kept until that is certain. */
export interface Intent {
  readonly peer: number;
  readonly path: RelativePath;
  /** Disk path in the staging folder that keeps the old content while the commit runs. */
  readonly aside: string;
  /** `null` for a deletion. */
  readonly state: PathState | null;
}

/** The table `intents`. */
export class IntentsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(intent: Intent): void {
    const state = intent.state;
    this.#db.run(
      "INSERT INTO intents (peer, path, aside, kind, size, mtime_ms, executable, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      intent.peer,
      intent.path,
      intent.aside,
      state?.kind ?? null,
      state?.sizeBytes ?? 0,
      state?.mtimeMs ?? 0,
      Number(state?.executable ?? false),
      state?.hash ?? "",
    );
  }

  /** In the order in which they were begun. */
  list(): Intent[] {
    return this.#db.all("SELECT * FROM intents ORDER BY number").map((row: Row) => ({
      peer: row["peer"] as number,
      path: row["path"] as RelativePath,
      aside: row["aside"] as string,
      state: row["kind"] === null ? null : toState(row),
    }));
  }

  clear(): void {
    this.#db.run("DELETE FROM intents");
  }
}
