import type { Database, Row } from "./database.ts";

/** One row of the log: an operation that was sent or received, or something local that a user should know. */
export interface LogEntry {
  /** When, milliseconds of UTC. */
  readonly atMs: number;
  /** The operation's id; `null` for what happened locally. */
  readonly id: string | null;
  readonly direction: "sent" | "received" | "local";
  /** `create`, `update`, `delete`, or locally: `skip`, `conflict`, `edited`, `vanished`, … */
  readonly action: string;
  readonly path: string;
  /** Of a move: where it was before. */
  readonly from?: string | null;
  readonly sizeBytes: number | null;
  readonly hash: string | null;
  /** The file's mtime as it travelled. */
  readonly timestamp: string | null;
  /** The name that the operation gave as its sender. */
  readonly sender: string | null;
  /** The local name of the peer. */
  readonly peer: string | null;
  readonly status: "ok" | "error" | "note";
  readonly code: string | null;
  readonly error: string | null;
  /** Bytes of the operation on the wire: header, content and lengths. */
  readonly wireBytes: number;
}

/** A note of something that happened here, not on the wire. */
export function localNote(
  atMs: number,
  action: string,
  path: string,
  code: string,
  message: string,
): LogEntry {
  return {
    atMs,
    id: null,
    direction: "local",
    action,
    path,
    sizeBytes: null,
    hash: null,
    timestamp: null,
    sender: null,
    peer: null,
    status: "note",
    code,
    error: message,
    wireBytes: 0,
  };
}

/** The table `log`. */
export class LogTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(e: LogEntry): void {
    this.#db.run(
      "INSERT INTO log (at, id, direction, action, path, size, hash, timestamp, sender, peer, status, code, error, wire_bytes, from_path) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      new Date(e.atMs).toISOString(),
      e.id,
      e.direction,
      e.action,
      e.path,
      e.sizeBytes,
      e.hash,
      e.timestamp,
      e.sender,
      e.peer,
      e.status,
      e.code,
      e.error,
      e.wireBytes,
      e.from ?? null,
    );
  }

  /** The newest rows first; `glob` as SQLite's GLOB, over the whole path. */
  newest(limit: number, glob: string | null): LogEntry[] {
    return this.#db.all(
      "SELECT * FROM log WHERE path GLOB ? ORDER BY number DESC LIMIT ?",
      glob ?? "*",
      limit,
    ).map(toEntry);
  }

  /** Which of some paths the log has a row of with an action. One pass over the log. */
  noted(action: string, paths: readonly string[]): Set<string> {
    if (paths.length === 0) return new Set();
    const rows = this.#db.all(
      "SELECT DISTINCT path FROM log WHERE action = ? AND path IN (SELECT value FROM json_each(?))",
      action,
      JSON.stringify(paths),
    );
    return new Set(rows.map((row) => row["path"] as string));
  }

  /** Of contents that were received, by their hashes: the times that their files had. One pass over the log. */
  received(hashes: readonly string[]): Map<string, Set<string>> {
    const found = new Map<string, Set<string>>();
    if (hashes.length === 0) return found;
    const rows = this.#db.all(
      "SELECT DISTINCT hash, timestamp FROM log WHERE direction = 'received' AND status = 'ok' " +
        "AND hash IN (SELECT value FROM json_each(?))",
      JSON.stringify(hashes),
    );
    for (const row of rows) {
      const hash = row["hash"] as string;
      const times = found.get(hash) ?? new Set();
      found.set(hash, times.add(row["timestamp"] as string));
    }
    return found;
  }

  /** Removes what is older than `beforeMs`; tells how many rows. */
  prune(beforeMs: number): number {
    return this.#db.run("DELETE FROM log WHERE at < ?", new Date(beforeMs).toISOString());
  }
}

function toEntry(row: Row): LogEntry {
  return {
    atMs: Date.parse(row["at"] as string),
    id: row["id"] as string | null,
    direction: row["direction"] as LogEntry["direction"],
    action: row["action"] as string,
    path: row["path"] as string,
    from: row["from_path"] as string | null,
    sizeBytes: row["size"] as number | null,
    hash: row["hash"] as string | null,
    timestamp: row["timestamp"] as string | null,
    sender: row["sender"] as string | null,
    peer: row["peer"] as string | null,
    status: row["status"] as LogEntry["status"],
    code: row["code"] as string | null,
    error: row["error"] as string | null,
    wireBytes: row["wire_bytes"] as number,
  };
}
