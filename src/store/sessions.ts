import type { Database } from "./database.ts";

/** A login that was not ended yet; whether it is too old is for auth/sessions.ts to say. */
export interface Session {
  /** SHA-256 of the secret that the home's session file holds. */
  readonly hash: string;
  readonly user: string;
  readonly startedMs: number;
  /** When a command last used it. */
  readonly usedMs: number;
}

/** The table `sessions`. */
export class SessionsTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(hash: string): Session | null {
    const row = this.#db.get("SELECT * FROM sessions WHERE hash = ?", hash);
    if (row === null) return null;
    return {
      hash,
      user: row["user"] as string,
      startedMs: row["started_ms"] as number,
      usedMs: row["used_ms"] as number,
    };
  }

  add({ hash, user, startedMs }: Omit<Session, "usedMs">): void {
    this.#db.run("INSERT INTO sessions VALUES (?, ?, ?, ?)", hash, user, startedMs, startedMs);
  }

  touch(hash: string, usedMs: number): void {
    this.#db.run("UPDATE sessions SET used_ms = ? WHERE hash = ?", usedMs, hash);
  }

  remove(hash: string): void {
    this.#db.run("DELETE FROM sessions WHERE hash = ?", hash);
  }

  /** Ends all sessions of a user; tells how many there were. */
  removeOf(user: string): number {
    return this.#db.run("DELETE FROM sessions WHERE user = ?", user);
  }

  /** Removes what was begun before `beforeMs`. */
  prune(beforeMs: number): void {
    this.#db.run("DELETE FROM sessions WHERE started_ms < ?", beforeMs);
  }
}
