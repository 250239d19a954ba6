import type { FileStat, Held, Kind, Observation, PathState } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Database, Row } from "./database.ts";
import { rangeBelow } from "./range.ts";

/** The table `observed`: what was last seen of each path in `watched/`. */
export class ObservedTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(path: RelativePath): Observation | null {
    const row = this.#db.get("SELECT * FROM observed WHERE path = ?", path);
    return row && toObservation(row);
  }

  put(o: Observation): void {
    this.#db.run(
      "INSERT OR REPLACE INTO observed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      o.path,
      o.diskPath,
      o.kind,
      o.sizeBytes,
      o.mtimeMs,
      o.ctimeMs,
      o.inode,
      o.device,
      Number(o.executable),
      o.hash,
      Number(o.provisional),
      o.held,
    );
  }

  remove(path: RelativePath): void {
    this.#db.run("DELETE FROM observed WHERE path = ?", path);
  }

  /** Records the hash of the content that belongs to the observation's present stat. */
  setHash(path: RelativePath, hash: string, provisional: boolean): void {
    this.#db.run(
      "UPDATE observed SET hash = ?, provisional = ? WHERE path = ?",
      hash,
      Number(provisional),
      path,
    );
  }

  /**
   * Records the hash of a file's content if what is observed is still the stat that it belongs to, and in all else the state
   * given: then nothing of it is left to be sent.
   *
   * @returns Whether it was so.
   */
  confirm(path: RelativePath, state: PathState, stat: FileStat, provisional: boolean): boolean {
    return this.#db.run(
      "UPDATE observed SET hash = ?, provisional = ? WHERE path = ? AND kind = 'file' AND size = ? AND mtime_ms = ? " +
        "AND ctime_ms = ? AND inode = ? AND device = ? AND executable = ?",
      state.hash,
      Number(provisional),
      path,
      state.sizeBytes,
      state.mtimeMs,
      stat.ctimeMs,
      stat.inode,
      stat.device,
      Number(state.executable),
    ) === 1;
  }

  setHeld(path: RelativePath, held: Held | null): void {
    this.#db.run("UPDATE observed SET held = ? WHERE path = ?", held, path);
  }

  /** All observations at any depth below `folder` (`""`: all there are), in the order of their paths. */
  below(folder: string): Observation[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all("SELECT * FROM observed WHERE path >= ? AND path < ? ORDER BY path", low, high).map(
      toObservation,
    );
  }

  /** Every observation, in the order of the paths, without holding them all. */
  *each(): IterableIterator<Observation> {
    for (const row of this.#db.prepare("SELECT * FROM observed ORDER BY path").iterate()) {
      yield toObservation(row as Row);
    }
  }

  /** A page of what was observed after `after` (`""`: from the start), in the order of the paths. */
  page(after: string, limit: number): Observation[] {
    return this.#db.all("SELECT * FROM observed WHERE path > ? ORDER BY path LIMIT ?", after, limit).map(
      toObservation,
    );
  }

  /** The observations directly inside `folder`. */
  childrenOf(folder: string): Observation[] {
    const [low, high] = rangeBelow(folder);
    return this.#db.all(
      "SELECT * FROM observed WHERE path >= ? AND path < ? AND instr(substr(path, ?), '/') = 0 ORDER BY path",
      low,
      high,
      low.length + 1,
    ).map(toObservation);
  }

  /**
   * What is observed at another path with the same inode and of the same kind: where it was moved from or to, or something new that was
   * given the number of what is gone.
   */
  otherOf(
    { inode, device, kind }: Pick<FileStat, "inode" | "device" | "kind">,
    path: RelativePath,
  ): Observation | null {
    if (inode === 0) return null;
    const row = this.#db.get(
      "SELECT * FROM observed WHERE inode = ? AND device = ? AND kind = ? AND path <> ? AND held IS NULL LIMIT 1",
      inode,
      device,
      kind,
      path,
    );
    return row && toObservation(row);
  }

  /** The other names under which a file is observed, as hard links are; a hundred of them at most. */
  otherNames({ inode, device }: Pick<FileStat, "inode" | "device">, path: RelativePath): RelativePath[] {
    if (inode === 0) return [];
    const rows = this.#db.all(
      "SELECT path FROM observed WHERE inode = ? AND device = ? AND kind = 'file' AND path <> ? LIMIT 100",
      inode,
      device,
      path,
    );
    return rows.map((row) => row["path"] as RelativePath);
  }

  /** The observations that are to be hashed once more. */
  provisional(): Observation[] {
    return this.#db.all("SELECT * FROM observed WHERE provisional = 1").map(toObservation);
  }

  count(): { files: number; folders: number; bytes: number; held: number } {
    const row = this.#db.get(
      "SELECT sum(kind = 'file') AS files, sum(kind = 'folder') AS folders, sum(size) AS bytes, " +
        "sum(held IS NOT NULL) AS held FROM observed",
    )!;
    return {
      files: Number(row["files"] ?? 0),
      folders: Number(row["folders"] ?? 0),
      bytes: Number(row["bytes"] ?? 0),
      held: Number(row["held"] ?? 0),
    };
  }
}

function toObservation(row: Row): Observation {
  return {
    path: row["path"] as RelativePath,
    diskPath: row["disk_path"] as string,
    kind: row["kind"] as Kind,
    sizeBytes: row["size"] as number,
    mtimeMs: row["mtime_ms"] as number,
    ctimeMs: row["ctime_ms"] as number,
    inode: row["inode"] as number,
    device: row["device"] as number,
    executable: row["executable"] === 1,
    hash: row["hash"] as string | null,
    provisional: row["provisional"] === 1,
    held: row["held"] as Held | null,
  };
}
