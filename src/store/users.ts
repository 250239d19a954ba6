import type { Role } from "../domain/role.ts";
import type { Database, Row } from "./database.ts";

/** Somebody who may log in to this home. */
export interface User {
  /** Unique whatever the case of its letters. */
  readonly name: string;
  readonly role: Role;
  /** The hash of the password with its parameters (auth/passwords.ts). */
  readonly password: string;
  readonly addedMs: number;
  /** When the password was set. */
  readonly changedMs: number;
}

/** The table `users`. */
export class UsersTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Whether there is none: then this home is open to whoever owns its files. */
  isEmpty(): boolean {
    return this.#db.get("SELECT 1 FROM users LIMIT 1") === null;
  }

  get(name: string): User | null {
    const row = this.#db.get("SELECT * FROM users WHERE name = ?", name);
    return row && toUser(row);
  }

  list(): User[] {
    return this.#db.all("SELECT * FROM users ORDER BY name").map(toUser);
  }

  add({ name, role, password, addedMs }: Omit<User, "changedMs">): void {
    this.#db.run("INSERT INTO users VALUES (?, ?, ?, ?, ?)", name, role, password, addedMs, addedMs);
  }

  setPassword(name: string, password: string, changedMs: number): void {
    this.#db.run("UPDATE users SET password = ?, changed_ms = ? WHERE name = ?", password, changedMs, name);
  }

  /** Removes a user, and the user's sessions with it. */
  remove(name: string): void {
    this.#db.run("DELETE FROM users WHERE name = ?", name);
  }

  clear(): void {
    this.#db.run("DELETE FROM users");
  }
}

function toUser(row: Row): User {
  return {
    name: row["name"] as string,
    role: row["role"] as Role,
    password: row["password"] as string,
    addedMs: row["added_ms"] as number,
    changedMs: row["changed_ms"] as number,
  };
}
