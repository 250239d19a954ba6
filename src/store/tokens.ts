import type { Role } from "../domain/role.ts";
import type { Database, Row } from "./database.ts";

/** A secret of an automation; what it is, is not kept. */
export interface Token {
  /** Unique whatever the case of its letters. */
  readonly name: string;
  /** SHA-256 of the secret. */
  readonly hash: string;
  readonly role: Role;
  /** The user who made it; with that user it ends. */
  readonly madeBy: string;
  readonly madeMs: number;
  /** From when on it is refused; `null`: never. */
  readonly expiresMs: number | null;
  readonly usedMs: number | null;
  readonly revokedMs: number | null;
}

/** The table `tokens`. Ended ones stay, so that it can be said what became of them. */
export class TokensTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  byName(name: string): Token | null {
    const row = this.#db.get("SELECT * FROM tokens WHERE name = ?", name);
    return row && toToken(row);
  }

  byHash(hash: string): Token | null {
    const row = this.#db.get("SELECT * FROM tokens WHERE hash = ?", hash);
    return row && toToken(row);
  }

  list(): Token[] {
    return this.#db.all("SELECT * FROM tokens ORDER BY made_ms, name").map(toToken);
  }

  /** Adds one, in the place of an ended one of that name. */
  put({ name, hash, role, madeBy, madeMs, expiresMs }: Omit<Token, "usedMs" | "revokedMs">): void {
    this.#db.run(
      "INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)",
      name,
      hash,
      role,
      madeBy,
      madeMs,
      expiresMs,
    );
  }

  touch(name: string, usedMs: number): void {
    this.#db.run("UPDATE tokens SET used_ms = ? WHERE name = ?", usedMs, name);
  }

  revoke(name: string, revokedMs: number): void {
    this.#db.run("UPDATE tokens SET revoked_ms = ? WHERE name = ?", revokedMs, name);
  }

  clear(): void {
    this.#db.run("DELETE FROM tokens");
  }
}

function toToken(row: Row): Token {
  return {
    name: row["name"] as string,
    hash: row["hash"] as string,
    role: row["role"] as Role,
    madeBy: row["made_by"] as string,
    madeMs: row["made_ms"] as number,
    expiresMs: row["expires_ms"] as number | null,
    usedMs: row["used_ms"] as number | null,
    revokedMs: row["revoked_ms"] as number | null,
  };
}
