import type { Database, Row } from "./database.ts";

/** What the audit trail tells of. */
export type AuditKind =
  // who may use this home
  | "user_added"
  | "user_removed"
  | "password_changed"
  | "access_reset"
  | "login"
  | "login_failed"
  | "login_throttled"
  | "logout"
  | "token_created"
  | "token_revoked"
  | "token_refused"
  | "command_refused"
  // whom this peer trusts
  | "peer_added"
  | "peer_removed"
  | "peer_refused"
  | "invite_made"
  | "invite_refused"
  | "peer_changed_identity"
  | "identity_changed"
  // what cannot be taken back
  | "deletions_confirmed"
  | "trash_emptied"
  // how it is set up
  | "settings_changed";

/** Something to be recorded. No secret ever goes into it: no password, no token, no session, no key. */
export interface AuditEntry {
  /** When, milliseconds of UTC. */
  readonly atMs: number;
  readonly kind: AuditKind;
  /** The user or token that did it; `null` for the owner of an open home, and for the running process itself. */
  readonly who?: string | null;
  /** Whom or what it is about: a user, a token, a peer, an address, a setting. */
  readonly subject: string;
  /** One line in plain words. */
  readonly detail: string;
}

/** A row of the audit trail. */
export interface AuditRow extends Required<AuditEntry> {
  readonly number: number;
  /** How often it happened, the first time included. */
  readonly times: number;
  /** When it happened last, milliseconds of UTC. */
  readonly lastMs: number;
}

const MINUTE_MS = 60_000;

/** The table `audit`: who was let in, who was not, and who changed what. */
export class AuditTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Records something; the number of its row, for {@linkcode again}. */
  record({ atMs, kind, who, subject, detail }: AuditEntry): number {
    const at = new Date(atMs).toISOString();
    const row = this.#db.get(
      "INSERT INTO audit (at, kind, who, subject, detail, times, last_at) VALUES (?, ?, ?, ?, ?, 1, ?) RETURNING number",
      at,
      kind,
      who ?? null,
      subject,
      detail,
      at,
    )!;
    return row["number"] as number;
  }

  /**
   * The same for what may come in any number: at most a row a minute for the same kind, actor
   * and subject, which counts the others.
   */
  recordOften(entry: AuditEntry): void {
    this.#db.transaction(() => {
      const { atMs, kind, who, subject } = entry;
      const since = new Date(atMs - MINUTE_MS).toISOString();
      const row = this.#db.get(
        "SELECT number FROM audit WHERE last_at > ? AND at > ? AND kind = ? AND who IS ? AND subject = ? " +
          "ORDER BY number DESC LIMIT 1",
        ...[since, since, kind, who ?? null, subject],
      );
      if (row === null) this.record(entry);
      else this.again(row["number"] as number, 1, atMs);
    });
  }

  /** Counts in an earlier row that the same has happened `times` times more, the last time at `atMs`. */
  again(number: number, times: number, atMs: number): void {
    this.#db.run(
      "UPDATE audit SET times = times + ?, last_at = ? WHERE number = ?",
      times,
      new Date(atMs).toISOString(),
      number,
    );
  }

  /** The newest rows first. */
  newest(limit: number): AuditRow[] {
    return this.#db.all("SELECT * FROM audit ORDER BY number DESC LIMIT ?", limit).map(toRow);
  }

  /** Removes what is older than `beforeMs`; tells how many rows. */
  prune(beforeMs: number): number {
    return this.#db.run("DELETE FROM audit WHERE last_at < ?", new Date(beforeMs).toISOString());
  }
}

function toRow(row: Row): AuditRow {
  return {
    number: row["number"] as number,
    atMs: Date.parse(row["at"] as string),
    kind: row["kind"] as AuditKind,
    who: row["who"] as string | null,
    subject: row["subject"] as string,
    detail: row["detail"] as string,
    times: row["times"] as number,
    lastMs: Date.parse(row["last_at"] as string),
  };
}
