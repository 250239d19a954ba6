import type { FileStat, PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { INDEXED_BYTES, type StatedPath, toState, toStatedPath } from "./acked.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** How the disk looked right after a commit: what a later look is compared with, to find edits by hand. */
export type DiskMark = Pick<FileStat, "sizeBytes" | "mtimeMs" | "ctimeMs" | "inode" | "device">;

/** A path in `synced/` that a peer has put there. */
export interface Synced {
  readonly path: RelativePath;
  readonly peer: number;
  /** What the peer asked for, and was acknowledged. */
  readonly state: PathState;
  readonly disk: DiskMark;
}

/** Who has what at one path of `synced/`. */
export interface Owners {
  readonly own: Synced | null;
  /** Of one of the other peers: a file, or the same folder. */
  readonly other: Synced | null;
}

/** The table `synced`. */
export class SyncedTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(peer: number, path: RelativePath): Synced | null {
    const row = this.#db.get("SELECT * FROM synced WHERE path = ? AND peer = ?", path, peer);
    return row && toSynced(row);
  }

  /** Who has what at a path, as a peer sees it. */
  owners(peer: number, path: RelativePath): Owners {
    let own: Synced | null = null, other: Synced | null = null;
    for (const row of this.#db.all("SELECT * FROM synced WHERE path = ?", path)) {
      if (row["peer"] === peer) own = toSynced(row);
      else other = toSynced(row);
    }
    return { own, other };
  }

  /** Large files of a peer that have this content; the one at `path` first. */
  withHash(peer: number, hash: string, path: RelativePath): Synced[] {
    return this.#db.all(
      `SELECT * FROM synced WHERE hash = ? AND size > ${INDEXED_BYTES} AND peer = ? ORDER BY path <> ? LIMIT 10`,
      hash,
      peer,
      path,
    ).map(toSynced);
  }

  put(s: Synced): void {
    this.#db.run(
      "INSERT OR REPLACE INTO synced VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      s.path,
      s.peer,
      s.state.kind,
      s.state.sizeBytes,
      s.state.mtimeMs,
      Number(s.state.executable),
      s.state.hash,
      s.disk.sizeBytes,
      s.disk.mtimeMs,
      s.disk.ctimeMs,
      s.disk.inode,
      s.disk.device,
    );
  }

  remove(peer: number, path: RelativePath): void {
    this.#db.run("DELETE FROM synced WHERE path = ? AND peer = ?", path, peer);
  }

  /** Whether another peer has something at a path. */
  hasOthersAt(peer: number, path: RelativePath): boolean {
    return this.#db.get("SELECT 1 FROM synced WHERE path = ? AND peer <> ?", path, peer) !== null;
  }

  /** Paths below `folder`, of all peers. */
  countBelow(folder: RelativePath): number {
    const [low, high] = rangeBelow(folder);
    return Number(
      this.#db.get("SELECT count(*) AS n FROM synced WHERE path >= ? AND path < ?", low, high)!["n"],
    );
  }

  /** A folder has another path now, and so has all that lies in it. */
  moveFolder(peer: number, from: RelativePath, path: RelativePath): void {
    const [low, high] = rangeBelow(from);
    this.#db.run(
      "UPDATE OR REPLACE synced SET path = ? || substr(path, ?) WHERE peer = ? AND (path = ? OR (path >= ? AND path < ?))",
      path,
      [...from].length + 1,
      peer,
      from,
      low,
      high,
    );
  }

  /** Whether any peer has something below `folder`. */
  hasBelow(folder: RelativePath): boolean {
    const [low, high] = rangeBelow(folder);
    return this.#db.get("SELECT 1 FROM synced WHERE path >= ? AND path < ? LIMIT 1", low, high) !== null;
  }

  /** A page of what a peer owns after `after` (`""`: from the start), in the order of the paths. */
  page(peer: number, after: string, limit: number): Synced[] {
    return this.#db.all(
      "SELECT * FROM synced WHERE peer = ? AND path > ? ORDER BY path LIMIT ?",
      peer,
      after,
      limit,
    )
      .map(toSynced);
  }

  /** Every path that a peer owns, in order, without holding them all. */
  *each(peer: number): IterableIterator<StatedPath> {
    const rows = this.#db.prepare("SELECT * FROM synced WHERE peer = ? ORDER BY path").iterate(peer);
    for (const row of rows) yield toStatedPath(row as Row);
  }

  /** The bytes of all files that a peer has here, without counting them. */
  bytesOf(peer: number): number {
    return Number(this.#db.get("SELECT bytes FROM synced_bytes WHERE peer = ?", peer)?.["bytes"] ?? 0);
  }

  count(): { files: number; folders: number; bytes: number } {
    const row = this.#db.get(
      "SELECT sum(kind = 'file') AS files, sum(kind = 'folder') AS folders, sum(size) AS bytes FROM synced",
    )!;
    return {
      files: Number(row["files"] ?? 0),
      folders: Number(row["folders"] ?? 0),
      bytes: Number(row["bytes"] ?? 0),
    };
  }
}

function toSynced(row: Row): Synced {
  return {
    path: row["path"] as RelativePath,
    peer: row["peer"] as number,
    state: toState(row),
    disk: {
      sizeBytes: row["disk_size"] as number,
      mtimeMs: row["disk_mtime_ms"] as number,
      ctimeMs: row["disk_ctime_ms"] as number,
      inode: row["disk_inode"] as number,
      device: row["disk_device"] as number,
    },
  };
}
