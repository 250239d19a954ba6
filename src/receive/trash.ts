import type { EventSink } from "../domain/events.ts";
import { messageOf } from "../domain/mirror_error.ts";
import { type Clock, FileError, type FileTree, type Random } from "../domain/ports.ts";
import {
  HOME_TRASH,
  LOCAL_TRASH,
  nameOf,
  type RelativePath,
  STAGING_FOLDER,
} from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { Store } from "../store/store.ts";
import type { Synced } from "../store/synced.ts";
import { bytesOnDisk, type NewTrashed, type Trashed } from "../store/trash.ts";

/** What a trash is allowed. */
export interface TrashLimits {
  /** For how many days a version is kept. */
  readonly days: number;
  /** Bytes that all versions may take on the disk. */
  readonly bytes: number;
}

export interface TrashParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly onEvent: EventSink;
  readonly limits: TrashLimits;
}

/** A version on its way into the trash, as the step that puts it there knows it. */
export interface Going {
  readonly peer: number;
  readonly path: RelativePath;
  /** What the peer had put there. */
  readonly row: Synced;
  readonly reason: "deleted" | "replaced";
}

/** When it is too full, as much goes that this share of the bound is used. */
const SWEEP_TO = 0.9;
/** Of a file that is replaced again and again so many versions stay when room is needed for others. */
const KEPT_VERSIONS = 5;
/** Versions that are removed between two transactions. */
const BATCH = 200;
/** Room that is made at least when the disk is full. */
const MIN_ROOM_BYTES = 16 * 1024 * 1024;
const DAY_MS = 86_400_000;

/**
 * Where versions go that a peer deletes or replaces. A version is renamed out of staging, where it waits aside while its operation
 * is committed; its name in the trash is that of its place aside, so that recovery finds it wherever a crash came. Its row in the
 * table `trash` is written in the transaction that records the operation.
 */
export class Trash {
  readonly #parts: TrashParts;
  #place: string;
  #isMade = false;
  #bytes: number;
  #sweeping: Promise<void> | null = null;
  /** When strays are looked for next (UTC). */
  #straysMs = 0;

  private constructor(parts: TrashParts, place: string) {
    this.#parts = parts;
    this.#place = place;
    this.#bytes = parts.store.trash.count().bytes;
  }

  /** Finds out where renames lead. The staging folder has to be there. */
  static async open(parts: TrashParts): Promise<Trash> {
    return new Trash(parts, await canRenameInto(HOME_TRASH, parts) ? HOME_TRASH : LOCAL_TRASH);
  }

  /** The folder that has to be flushed before an operation is acknowledged whose old version was put here. */
  get place(): string {
    return this.#place;
  }

  /**
   * Takes a version that waits aside, by a rename.
   *
   * @returns The row to be recorded with the operation.
   * @throws {FileError} when it cannot be put there; it still waits aside then.
   */
  async take(aside: string, going: Going): Promise<NewTrashed> {
    const stored = await this.#rename(aside);
    return asTrashed(going, stored, this.#parts.clock.now());
  }

  async #rename(aside: string): Promise<string> {
    const { tree } = this.#parts;
    for (let attempt = 0;; attempt++) {
      try {
        await this.#make();
        const to = storedFor(this.#place, aside);
        await tree.rename(aside, to);
        return to;
      } catch (error) {
        if (!(error instanceof FileError) || attempt >= 2) throw error;
        if (error.code === "cross_device" && this.#place === HOME_TRASH) this.#place = LOCAL_TRASH;
        // Removed by hand: it is made again.
        else if (error.code === "no_space") await this.makeRoom(Math.min(MIN_ROOM_BYTES, this.#bytes));
        else if (error.code !== "not_found") throw error;
        this.#isMade = false;
      }
    }
  }

  async #make(): Promise<void> {
    if (this.#isMade) return;
    const { tree } = this.#parts;
    if (await tree.lstat(this.#place) === null) await tree.mkdir(this.#place);
    this.#isMade = true;
  }

  /** Records versions; to be called in the transaction that records their operations. */
  record(versions: readonly NewTrashed[]): void {
    for (const version of versions) {
      this.#parts.store.trash.add(version);
      this.#bytes += bytesOnDisk(version.state.sizeBytes);
    }
    if (this.#bytes > this.#parts.limits.bytes) void this.sweep();
  }

  /** Removes what is too old, and the oldest while all together are too large. Never rejects. */
  sweep(): Promise<void> {
    return this.#sweeping ??= this.#sweepNow()
      .catch((error) => {
        const message = `the trash could not be swept: ${messageOf(error)}`;
        this.#parts.onEvent({ kind: "problem", level: "warning", message });
      })
      .finally(() => this.#sweeping = null);
  }

  /** Frees as many bytes, the oldest versions first; none if all of them are not enough. */
  async makeRoom(bytes: number): Promise<void> {
    const { store } = this.#parts;
    if (bytes <= 0 || this.#bytes < bytes) return;
    await this.#removeWhile((limit) => store.trash.page(0, limit), bytes);
  }

  async #sweepNow(): Promise<void> {
    const { store, clock, limits } = this.#parts;
    // What has begun in the present turn comes to its end first: its transaction is not done yet.
    await new Promise<void>((resolve) => clock.after(0, resolve));
    await this.#removeWhile(
      (limit) => store.trash.before(clock.now() - limits.days * DAY_MS, limit),
      Infinity,
    );
    if (clock.now() >= this.#straysMs) {
      this.#straysMs = clock.now() + DAY_MS;
      await this.#removeStrays(clock.now() - limits.days * DAY_MS);
    }
    // Another process may have emptied it meanwhile.
    this.#bytes = store.trash.count().bytes;
    const excess = () => this.#bytes - limits.bytes * SWEEP_TO;
    if (this.#bytes <= limits.bytes) return;
    // Again and again, as more may have come meanwhile: what is there in one version only goes last.
    while (excess() > 0) {
      const removed = await this.#removeWhile(
        (limit) => store.trash.superseded(KEPT_VERSIONS, limit),
        excess(),
      );
      if (removed === 0) break;
    }
    if (excess() > 0) await this.#removeWhile((limit) => store.trash.page(0, limit), excess());
  }

  /**
   * Removes what came here before a time and no row tells of, because an earlier database was lost or put in the place of this
   * one: nothing else would ever remove it. Until then it can be taken out by hand.
   */
  async #removeStrays(beforeMs: number): Promise<void> {
    const { tree, store, clock } = this.#parts;
    const slices = new Slices(clock);
    for (const place of [HOME_TRASH, LOCAL_TRASH]) {
      if (await tree.lstat(place) === null) continue;
      for (const { name, stat } of await tree.list(place)) {
        if (slices.over) await slices.rest();
        const stored = `${place}/${name}`;
        // Its ctime is that of the rename which put it here. Where there is none (Windows) it stays.
        const isOld = stat?.kind === "file" && stat.ctimeMs > 0 && stat.ctimeMs < beforeMs;
        if (isOld && !store.trash.hasStored(stored)) await tree.unlink(stored);
      }
    }
  }

  /** @returns How many versions were removed. */
  async #removeWhile(next: (limit: number) => Trashed[], bytes: number): Promise<number> {
    const { tree, store, clock } = this.#parts;
    const slices = new Slices(clock);
    let removed = 0;
    for (let left = bytes; left > 0;) {
      const batch: Trashed[] = [];
      for (const version of next(BATCH)) {
        if (left <= 0) break;
        batch.push(version);
        left -= bytesOnDisk(version.state.sizeBytes);
        await removeStored(tree, version);
        if (slices.over) await slices.rest();
      }
      if (batch.length === 0) break;
      store.relaxedTransaction(() => batch.forEach(({ number }) => store.trash.remove(number)));
      this.#bytes -= batch.reduce((sum, { state }) => sum + bytesOnDisk(state.sizeBytes), 0);
      removed += batch.length;
    }
    return removed;
  }
}

/** Removes the content of a version; its row goes after it, so that nothing is left of which no row tells. */
export async function removeStored(tree: FileTree, { stored }: Trashed): Promise<void> {
  if (stored === null) return;
  try {
    await tree.unlink(stored);
  } catch (error) {
    if (!(error instanceof FileError && (error.code === "not_found" || error.code === "not_folder"))) {
      throw error;
    }
  }
}

/** After a crash: where a version is that had waited aside, if it had come into the trash already. */
export async function findTrashed(tree: FileTree, aside: string): Promise<string | null> {
  for (const place of [HOME_TRASH, LOCAL_TRASH]) {
    const stored = storedFor(place, aside);
    if (await tree.lstat(stored) !== null) return stored;
  }
  return null;
}

/** The row of a version. */
export function asTrashed(
  { peer, path, row, reason }: Going,
  stored: string | null,
  trashedMs: number,
): NewTrashed {
  // The rename or link that put it in its place has set its ctime.
  return { peer, path, state: row.state, stored, reason, placedMs: Math.max(0, row.disk.ctimeMs), trashedMs };
}

function storedFor(place: string, aside: string): string {
  return `${place}/${nameOf(aside).replace(/^old-/, "")}`;
}

/** Finds out by trying: two folders can be of one file system and yet not be joined by renames (bind mounts, subvolumes). */
async function canRenameInto(place: string, { tree, random }: TrashParts): Promise<boolean> {
  const name = `probe-${random.uuid()}`;
  const [from, to] = [`${STAGING_FOLDER}/${name}`, `${place}/${name}`];
  try {
    if (await tree.lstat(place) === null) await tree.mkdir(place);
    (await tree.create(from)).close();
    await tree.rename(from, to);
    await tree.unlink(to);
    return true;
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    if (await tree.lstat(from) !== null) await tree.unlink(from);
    return false;
  }
}
