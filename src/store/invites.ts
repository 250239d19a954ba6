import type { InviteVerifier } from "../identity/invite_proof.ts";
import type { Database, Row } from "./database.ts";

/** An invite as the inviter remembers it. */
export interface InviteRow {
  /** 16 digits of hex. */
  readonly id: string;
  readonly verifier: InviteVerifier;
  readonly expiresMs: number;
  /** `used`: somebody has paired by it. `locked`: too many wrong tries have ended it. */
  readonly state: "open" | "used" | "locked";
  readonly wrongTries: number;
  /** Fingerprint of whoever has paired by it. */
  readonly usedBy: string | null;
}

/** Wrong tries that end an invite. */
export const MAX_WRONG_TRIES = 5;
/** How long an invite is remembered after its end. */
const KEPT_MS = 24 * 3_600_000;

/** The table `invites`. */
export class InvitesTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Adds an open invite, and forgets those that ended long before `nowMs`. */
  add(invite: Pick<InviteRow, "id" | "verifier" | "expiresMs">, nowMs: number): void {
    this.#db.transaction(() => {
      this.#db.run("DELETE FROM invites WHERE expires_ms < ?", nowMs - KEPT_MS);
      this.#db.run(
        "INSERT INTO invites VALUES (?, ?, ?, ?, 'open', 0, NULL)",
        invite.id,
        invite.verifier.storedKey,
        invite.verifier.replyKey,
        invite.expiresMs,
      );
    });
  }

  byId(id: string): InviteRow | null {
    const row = this.#db.get("SELECT * FROM invites WHERE id = ?", id);
    return row && toInvite(row);
  }

  /** Whether anybody can still pair by an invite. */
  anyOpen(nowMs: number): boolean {
    return this.#db.get("SELECT 1 FROM invites WHERE state = 'open' AND expires_ms > ?", nowMs) !== null;
  }

  /** Whether somebody may have reason to ask: a used invite is answered to the one who used it, until it would have expired. */
  anyAnswered(nowMs: number): boolean {
    return this.#db.get("SELECT 1 FROM invites WHERE state <> 'locked' AND expires_ms > ?", nowMs) !== null;
  }

  markUsed(id: string, fingerprint: string): void {
    this.#db.run("UPDATE invites SET state = 'used', used_by = ? WHERE id = ?", fingerprint, id);
  }

  /** Counts a wrong try, the last of which ends the invite; how many there were. */
  countWrongTry(id: string): number {
    const row = this.#db.get(
      "UPDATE invites SET wrong_tries = wrong_tries + 1, " +
        "state = CASE WHEN wrong_tries + 1 >= ? THEN 'locked' ELSE state END WHERE id = ? RETURNING wrong_tries",
      MAX_WRONG_TRIES,
      id,
    );
    return (row?.["wrong_tries"] as number | undefined) ?? 0;
  }
}

function toInvite(row: Row): InviteRow {
  return {
    id: row["id"] as string,
    verifier: {
      storedKey: row["stored_key"] as Uint8Array,
      replyKey: row["reply_key"] as Uint8Array,
    },
    expiresMs: row["expires_ms"] as number,
    state: row["state"] as InviteRow["state"],
    wrongTries: row["wrong_tries"] as number,
    usedBy: row["used_by"] as string | null,
  };
}
