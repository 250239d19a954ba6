import type { Action } from "../domain/header.ts";
import type { Kind } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { type HeldFile, toHeldFile } from "./acked.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** A path whose observed state differs from the one that a peer acknowledged. */
export interface Pending {
  readonly peer: number;
  readonly path: RelativePath;
  readonly action: Action;
  readonly kind: Kind;
  readonly sizeBytes: number;
  /**
   * `refused` waits for the path to change or for `pending retry`; `held` is a deletion that is one of too many at once, and waits
   * for `confirm` or for the files to come back.
   */
  readonly state: "waiting" | "refused" | "held";
  readonly code: string | null;
  readonly reason: string | null;
  readonly attempts: number;
  /** Not tried before this time (milliseconds of UTC); 0 for at once. */
  readonly nextAttemptMs: number;
  readonly sinceMs: number;
  /** For a deletion: the path that now has the same file. The deletion waits until that path was acknowledged. */
  readonly movedTo: RelativePath | null;
  /** For a creation: the path that had the same file or folder before. */
  readonly movedFrom: RelativePath | null;
  /** For a deletion that was held: somebody has confirmed it. */
  readonly confirmed: boolean;
}

/** What `pending` holds in all for a peer. */
export interface PendingTotals {
  readonly waiting: number;
  readonly refused: number;
  readonly held: number;
  readonly bytes: number;
}

/**
 * That a deletion is one half of a move: what was deleted is at another path, as the peer had it. The number of its inode alone does
 * not say so: file systems give the numbers of what is gone to new files at once.
 */
const MOVED =
  "EXISTS (SELECT 1 FROM observed o JOIN acked a ON a.peer = pending.peer AND a.path = pending.path " +
  "WHERE o.path = pending.moved_to AND o.kind = a.kind " +
  "AND (o.kind = 'folder' OR (o.size = a.size AND o.mtime_ms = a.mtime_ms)))";
const WAITING = "peer = ? AND state = 'waiting' AND next_attempt_ms <= ?";

/** The table `pending`. */
export class PendingTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(peer: number, path: RelativePath): Pending | null {
    const row = this.#db.get("SELECT * FROM pending WHERE peer = ? AND path = ?", peer, path);
    return row && toPending(row);
  }

  /** Writes a row for a new state of the path: earlier reasons and attempts belonged to the earlier state and go. */
  put(
    p: Pick<Pending, "peer" | "path" | "action" | "kind" | "sizeBytes" | "sinceMs" | "movedTo" | "movedFrom">,
  ): void {
    this.#db.run(
      "INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, 'waiting', NULL, NULL, 0, 0, ?, ?, ?, 0)",
      p.peer,
      p.path,
      p.action,
      p.kind,
      p.sizeBytes,
      p.sinceMs,
      p.movedTo,
      p.movedFrom,
    );
  }

  remove(peer: number, path: RelativePath): void {
    this.#db.run("DELETE FROM pending WHERE peer = ? AND path = ?", peer, path);
  }

  /** Records why a path could not be delivered, and when it is tried again (`null`: refused for good). */
  fail(peer: number, path: RelativePath, code: string, reason: string, nextAttemptMs: number | null): void {
    this.#db.run(
      "UPDATE pending SET state = ?, code = ?, reason = ?, attempts = attempts + 1, next_attempt_ms = ? " +
        "WHERE peer = ? AND path = ?",
      nextAttemptMs === null ? "refused" : "waiting",
      code,
      reason,
      nextAttemptMs ?? 0,
      peer,
      path,
    );
  }

  /** Makes everything due now, the refused too: what `pending retry` asks for. Attempts and reasons stay to be read. */
  retryAll(): number {
    return this.#db.run(
      "UPDATE pending SET state = 'waiting', next_attempt_ms = 0 WHERE state = 'refused' OR next_attempt_ms > 0",
    );
  }

  /** Makes one peer's waiting rows due now: its link is new. */
  dueNow(peer: number): void {
    this.#db.run(
      "UPDATE pending SET next_attempt_ms = 0 WHERE peer = ? AND state = 'waiting' AND next_attempt_ms > 0",
      peer,
    );
  }

  /** The same for the rows that failed for one reason, which is gone now; tells how many there are. */
  dueAfter(peer: number, code: string): number {
    return this.#db.run(
      "UPDATE pending SET next_attempt_ms = 0 WHERE peer = ? AND state = 'waiting' AND code = ?",
      peer,
      code,
    );
  }

  /** Due creations and updates after `after`, parents before children; `large` chooses files above or below `limitBytes`. */
  upserts(
    peer: number,
    nowMs: number,
    after: string,
    large: boolean,
    limitBytes: number,
    count: number,
  ): Pending[] {
    return this.#db.all(
      `SELECT * FROM pending WHERE ${WAITING} AND action <> 'delete' AND path > ? AND size ${
        large ? ">" : "<="
      } ? ` +
        "ORDER BY path LIMIT ?",
      peer,
      nowMs,
      after,
      limitBytes,
      count,
    ).map(toPending);
  }

  /** Due deletions before `before` (`null`: from the end), children before parents. */
  deletions(peer: number, nowMs: number, before: string | null, count: number): Pending[] {
    return this.#db.all(
      `SELECT * FROM pending WHERE ${WAITING} AND action = 'delete' AND path < ? ORDER BY path DESC LIMIT ?`,
      peer,
      nowMs,
      before ?? "\u{10FFFF}",
      count,
    ).map(toPending);
  }

  /** Since when the first of the files of more than `limitBytes` waits that were never answered; `null` when none does. */
  firstUpsertMs(peer: number, limitBytes: number): number | null {
    const row = this.#db.get(
      "SELECT min(since_ms) AS since FROM pending WHERE peer = ? AND state = 'waiting' AND action <> 'delete' " +
        "AND attempts = 0 AND size > ?",
      peer,
      limitBytes,
    )!;
    return row["since"] as number | null;
  }

  /** When the next row that is not due yet becomes due; `null` when there is none. */
  nextDueMs(peer: number, nowMs: number): number | null {
    const row = this.#db.get(
      "SELECT min(next_attempt_ms) AS due FROM pending WHERE peer = ? AND state = 'waiting' AND next_attempt_ms > ?",
      peer,
      nowMs,
    )!;
    return row["due"] as number | null;
  }

  /** A page of the deletions of files that nobody has confirmed and that no move explains, after `after`, with what is deleted. */
  unconfirmedDeletions(peer: number, after: string, count: number): HeldFile[] {
    return this.#db.all(
      "SELECT b.* FROM pending JOIN acked b ON b.peer = pending.peer AND b.path = pending.path WHERE pending.peer = ? " +
        "AND pending.path > ? AND pending.action = 'delete' AND pending.confirmed = 0 AND b.kind = 'file' " +
        `AND NOT ${MOVED} ORDER BY pending.path LIMIT ?`,
      peer,
      after,
      count,
    ).map(toHeldFile);
  }

  /** Whether a path has a deletion that counts among what is deleted at once: nobody has confirmed it, and it is no half of a move. */
  countsAsDeletion(peer: number, path: RelativePath): boolean {
    return this.#db.get(
      `SELECT 1 FROM pending WHERE peer = ? AND path = ? AND action = 'delete' AND confirmed = 0 AND NOT ${MOVED}`,
      peer,
      path,
    ) !== null;
  }

  /** Size and mtime of the files that are to be created at a peer. */
  *creations(peer: number): IterableIterator<{ readonly sizeBytes: number; readonly mtimeMs: number }> {
    const rows = this.#db.prepare(
      "SELECT o.size, o.mtime_ms FROM pending p JOIN observed o ON o.path = p.path " +
        "WHERE p.peer = ? AND p.action = 'create' AND p.kind = 'file'",
    ).iterate(peer);
    for (const row of rows) {
      yield { sizeBytes: (row as Row)["size"] as number, mtimeMs: (row as Row)["mtime_ms"] as number };
    }
  }

  /** Holds the deletion of a folder and of what lies below it, as far as it is not confirmed. */
  hold(peer: number, folder: string, code: string, reason: string): void {
    const [low, high] = rangeBelow(folder);
    this.#db.run(
      "UPDATE pending SET state = 'held', code = ?, reason = ?, next_attempt_ms = 0 WHERE peer = ? AND action = 'delete' " +
        `AND state <> 'held' AND confirmed = 0 AND NOT ${MOVED} AND (path = ? OR (path >= ? AND path < ?))`,
      code,
      reason,
      peer,
      folder,
      low,
      high,
    );
  }

  /** Lets go of what was held in a folder. */
  release(peer: number, folder: string): void {
    const [low, high] = rangeBelow(folder);
    this.#db.run(
      "UPDATE pending SET state = 'waiting', code = NULL, reason = NULL WHERE peer = ? AND state = 'held' " +
        "AND (path = ? OR (path >= ? AND path < ?))",
      peer,
      folder,
      low,
      high,
    );
  }

  /** Confirms every deletion that is held for a peer, and none that comes later; tells how many. */
  confirmHeld(peer: number): number {
    return this.#db.run(
      "UPDATE pending SET state = 'waiting', confirmed = 1, code = NULL, reason = NULL WHERE peer = ? AND state = 'held'",
      peer,
    );
  }

  /** Held deletions at or below a folder, some of them. */
  heldIn(peer: number, folder: string, limit: number): Pending[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all(
      "SELECT * FROM pending WHERE peer = ? AND state = 'held' AND (path = ? OR (path >= ? AND path < ?)) ORDER BY path LIMIT ?",
      peer,
      folder,
      low,
      high,
      limit,
    ).map(toPending);
  }

  /** How many files below a folder have a deletion that is held. */
  filesHeldIn(peer: number, folder: string): number {
    const [low, high] = rangeBelow(folder);
    return Number(
      this.#db.get(
        "SELECT count(*) AS n FROM pending WHERE peer = ? AND state = 'held' AND kind = 'file' AND path >= ? AND path < ?",
        peer,
        low,
        high,
      )!["n"],
    );
  }

  /** Rows that have been tried at least `attempts` times, are refused or held: those that waiting does not mend soon. */
  stuck(peer: number, attempts: number): number {
    return Number(
      this.#db.get(
        "SELECT count(*) AS n FROM pending WHERE peer = ? AND (state <> 'waiting' OR attempts >= ?)",
        peer,
        attempts,
      )!["n"],
    );
  }

  totals(peer: number): PendingTotals {
    const row = this.#db.get(
      "SELECT sum(state = 'waiting') AS waiting, sum(state = 'refused') AS refused, sum(state = 'held') AS held, " +
        "sum(CASE WHEN state = 'waiting' AND action <> 'delete' THEN size ELSE 0 END) AS bytes FROM pending WHERE peer = ?",
      peer,
    )!;
    return {
      waiting: Number(row["waiting"] ?? 0),
      refused: Number(row["refused"] ?? 0),
      held: Number(row["held"] ?? 0),
      bytes: Number(row["bytes"] ?? 0),
    };
  }

  /** A row that failed for a reason, if there is one. */
  firstWithCode(peer: number, code: string): Pending | null {
    const row = this.#db.get("SELECT * FROM pending WHERE peer = ? AND code = ? LIMIT 1", peer, code);
    return row && toPending(row);
  }

  /** The paths that were refused for good for a reason. */
  refusedWith(peer: number, code: string): RelativePath[] {
    return this.#db.all(
      "SELECT path FROM pending WHERE peer = ? AND state = 'refused' AND code = ?",
      peer,
      code,
    ).map((row) => row["path"] as RelativePath);
  }

  list(peer: number, limit = -1): Pending[] {
    return this.#db.all("SELECT * FROM pending WHERE peer = ? ORDER BY path LIMIT ?", peer, limit).map(
      toPending,
    );
  }

  /** The paths below `folder` that have a row. */
  below(peer: number, folder: string): RelativePath[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all("SELECT path FROM pending WHERE peer = ? AND path >= ? AND path < ?", peer, low, high)
      .map((row) => row["path"] as RelativePath);
  }

  *paths(peer: number): IterableIterator<RelativePath> {
    for (const row of this.#db.prepare("SELECT path FROM pending WHERE peer = ?").iterate(peer)) {
      yield (row as Row)["path"] as RelativePath;
    }
  }
}

function toPending(row: Row): Pending {
  return {
    peer: row["peer"] as number,
    path: row["path"] as RelativePath,
    action: row["action"] as Action,
    kind: row["kind"] as Kind,
    sizeBytes: row["size"] as number,
    state: row["state"] as Pending["state"],
    code: row["code"] as string | null,
    reason: row["reason"] as string | null,
    attempts: row["attempts"] as number,
    nextAttemptMs: row["next_attempt_ms"] as number,
    sinceMs: row["since_ms"] as number,
    movedTo: row["moved_to"] as RelativePath | null,
    movedFrom: row["moved_from"] as RelativePath | null,
    confirmed: row["confirmed"] === 1,
  };
}
