import { MirrorError } from "../domain/mirror_error.ts";
import { type FileStat, FOLDER_STATE, type PathState, sameStat } from "../domain/observation.ts";
import type { Folding } from "../domain/plan.ts";
import { foldedPath } from "../domain/plan.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import { ancestorsOf, joinPath, nameOf, parentOf, type RelativePath } from "../domain/relative_path.ts";
import type { Owners, Synced } from "../store/synced.ts";
import type { Store } from "../store/store.ts";
import type { NewTrashed } from "../store/trash.ts";
import { hashFile } from "./hash_file.ts";
import { freeConflictPath } from "./staging.ts";
import { asTrashed, type Trash } from "./trash.ts";

/** What applying one operation did: the row to write (`null`: the path is gone), and the copies that were kept. */
export interface Applied {
  readonly row: Synced | null;
  /** Conflict copies that were made on the way, as paths in `synced/`. */
  readonly conflicts: readonly string[];
  /** A folder stays although its sender deleted it: it holds files of this computer. */
  readonly kept: boolean;
}

/** What the operations of one group share. */
export interface Group {
  /** Folders that were seen to be real folders. */
  readonly verified: Set<string>;
  /** Folders whose entries changed. */
  readonly toFlush: Set<string>;
  /** Versions that went into the trash, to be recorded with the group. */
  readonly trashed: NewTrashed[];
}

/** An old version that gives way. */
interface Leaving {
  readonly path: RelativePath;
  /** Where it waits until it is certain that nobody edited it. */
  readonly aside: string;
  /** What the peer had put there; `null` when it is not worth keeping, because what takes its place has the same content. */
  readonly row: Synced | null;
  /** How it looked when it was found to be replaceable. */
  readonly before: FileStat;
  readonly reason: "deleted" | "replaced";
}

/** How often a path that changes under our hands is looked at again before the operation gives up. */
const RACES = 5;

/**
 * Changes `synced/` by one operation whose content is staged, verified and durable. Everything that a user put there by hand is
 * kept: as it is, or as a conflict copy beside the peer's version.
 *
 * A race remains that no portable system call closes: a folder above the path that is replaced by a symlink between the look at
 * it and the rename.
 */
export class Applier {
  readonly #tree: FileTree;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #folding: Folding;
  readonly #trash: Trash | null;
  readonly #isFlushed: (path: string, hash: string) => boolean;

  constructor(
    parts: {
      tree: FileTree;
      store: Store;
      clock: Clock;
      folding: Folding;
      /** `null`: what a peer deletes or replaces is gone. */
      trash: Trash | null;
      /** Whether a version that was put at a path is durable by itself. */
      isFlushed: (path: string, hash: string) => boolean;
    },
  ) {
    this.#tree = parts.tree;
    this.#trash = parts.trash;
    this.#isFlushed = parts.isFlushed;
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#folding = parts.folding;
  }

  /** Whether disk and row already hold what is asked for, so that there is nothing to do but to acknowledge. */
  async isDone(path: RelativePath, wanted: PathState | null, { own: row }: Owners): Promise<boolean> {
    if (wanted === null) return row === null && await this.#lookAt(path) === null;
    if (row === null || !sameWanted(row.state, wanted)) return false;
    const now = await this.#lookAt(path);
    if (now === null) return false;
    return wanted.kind === "folder" ? now.kind === "folder" : sameMark(now, row);
  }

  /** Puts a staged file at its path. `aside` is where the old version waits until it is certain that nobody edited it. */
  async putFile(
    peer: number,
    path: RelativePath,
    wanted: PathState,
    staged: string,
    aside: string,
    owners: Owners,
    group: Group,
  ): Promise<Applied> {
    this.#refuseOthers(path, owners);
    await this.#makeParents(path, group);
    const conflicts: string[] = [];
    const folder = parentOf(path) ?? "";
    // A path without a row is most likely new: placing it there fails if it is not, so the look before can wait for that.
    let likelyNew = owners.own === null;
    for (let race = 0;; race++) {
      const now = likelyNew ? null : await this.#tree.lstat(path);
      likelyNew = false;
      try {
        if (now === null) await this.#placeNew(staged, path);
        else if (now.kind === "folder") {
          await this.#clearFolder(path);
          continue;
        } else {
          await this.#placeOver(peer, { path, now, wanted, staged, aside }, owners.own, conflicts, group);
        }
        break;
      } catch (error) {
        // Somebody was faster than us at this very path: look at it again.
        const raced = error instanceof FileError && (error.code === "exists" || error.code === "not_found");
        if (!raced || race >= RACES) throw error;
      }
    }
    group.toFlush.add(folder);
    return { row: await this.#rowOf(peer, path, wanted), conflicts, kept: false };
  }

  /**
   * Takes over a file that is there already with exactly the content asked for: only times and mode are set.
   *
   * @throws {MirrorError} `content_needed` when there is no such file.
   */
  async adopt(peer: number, path: RelativePath, wanted: PathState, owners: Owners): Promise<Applied> {
    this.#refuseOthers(path, owners);
    const now = await this.#lookAt(path);
    if (now?.kind !== "file" || now.sizeBytes !== wanted.sizeBytes) throw contentNeeded(path);
    const row = owners.own;
    const known = row !== null && sameMark(now, row)
      ? row.state.hash
      : await hashFile(this.#tree, path, this.#clock);
    if (known !== wanted.hash) throw contentNeeded(path);
    if (now.mtimeMs !== wanted.mtimeMs) await this.#tree.setTimes(path, wanted.mtimeMs);
    if (now.executable !== null && now.executable !== wanted.executable) {
      await this.#tree.setExecutable(path, wanted.executable);
    }
    await this.#tree.flushFile(path);
    return { row: await this.#rowOf(peer, path, wanted), conflicts: [], kept: false };
  }

  /**
   * Moves a new folder with its files from staging to its place, if nothing is there.
   *
   * @returns `null` when something is, or it cannot be moved: then the folder and its files have to be put in place one by one.
   */
  async placeFolder(peer: number, path: RelativePath, staged: string, group: Group): Promise<Applied | null> {
    await this.#makeParents(path, group);
    if (await this.#tree.lstat(path) !== null) return null;
    try {
      // What comes in between is not replaced, unless it is an empty folder.
      await this.#tree.rename(staged, path);
    } catch (error) {
      if (error instanceof FileError) return null;
      throw error;
    }
    group.toFlush.add(parentOf(path) ?? "").add(path);
    group.verified.add(path);
    return { row: await this.#rowOf(peer, path, FOLDER_STATE), conflicts: [], kept: false };
  }

  /** Makes a folder; a file of this computer that has its name becomes a conflict copy. */
  async putFolder(peer: number, path: RelativePath, owners: Owners, group: Group): Promise<Applied> {
    if (owners.other?.state.kind === "file") this.#refuseOthers(path, owners);
    await this.#makeParents(path, group);
    const conflicts: string[] = [];
    const now = await this.#tree.lstat(path);
    if (now !== null && now.kind !== "folder") {
      const row = owners.own;
      if (row !== null && now.kind === "file" && await this.#isOurs(path, now, row)) {
        throw new MirrorError(
          "parent_is_file",
          `${path} is a file here: it must be deleted before a folder can take its name`,
        );
      }
      this.#refuseTwin(peer, path, await this.#twinOf(path));
      conflicts.push(await this.#moveToConflict(path));
    }
    if (now?.kind !== "folder") await this.#tree.mkdir(path);
    group.toFlush.add(parentOf(path) ?? "");
    group.verified.add(path);
    return { row: await this.#rowOf(peer, path, FOLDER_STATE), conflicts, kept: false };
  }

  /**
   * Deletes a path that the peer has put here. Never recursive.
   *
   * @param mayKeep Whether a folder that holds files of this computer may stay with an ok (the sender knows folders); else that
   * is an error.
   */
  async remove(
    path: RelativePath,
    aside: string,
    mayKeep: boolean,
    owners: Owners,
    group: Group,
  ): Promise<Applied> {
    const conflicts: string[] = [];
    const row = owners.own;
    const gone = { row: null, conflicts, kept: false };
    const now = await this.#lookAt(path);
    if (now === null) return gone;
    const parent = parentOf(path) ?? "";
    if (now.kind === "folder") {
      if (owners.other !== null) return { ...gone, kept: true };
      try {
        await this.#tree.rmdir(path);
      } catch (error) {
        if (!(error instanceof FileError && error.code === "not_empty")) throw error;
        if (mayKeep && !this.#store.synced.hasBelow(path)) return { ...gone, kept: true };
        throw new MirrorError(
          "folder_not_empty",
          `the folder ${path} is not empty here, and a deletion is never recursive`,
        );
      }
      group.verified.delete(path);
      group.toFlush.add(parent);
      if (this.#trash !== null && row !== null) {
        const going = { peer: row.peer, path, row, reason: "deleted" } as const;
        group.trashed.push(asTrashed(going, null, this.#clock.now()));
      }
      return gone;
    }
    if (row === null || row.state.kind === "folder") {
      this.#refuseOthers(path, owners);
      throw new MirrorError("not_owned", `${path} did not come from you: it was left as it is`);
    }
    // A symlink or a special file in the place of the peer's file is this computer's own: the peer's file is gone already.
    if (now.kind !== "file") return gone;
    if (await this.#isOurs(path, now, row)) {
      const before = await this.#moveAside(path, aside, now);
      await this.#settleAside({ path, aside, row, before, reason: "deleted" }, conflicts, group);
    } else conflicts.push(await this.#moveToConflict(path));
    group.toFlush.add(parent);
    return gone;
  }

  /** Moves what is at a path to a conflict copy; gives its path. */
  async #moveToConflict(path: string): Promise<string> {
    const to = await freeConflictPath(this.#tree, path, this.#clock.now());
    await this.#tree.rename(path, to);
    return to;
  }

  async #placeNew(staged: string, path: RelativePath): Promise<void> {
    try {
      await this.#tree.link(staged, path);
      await this.#tree.unlink(staged);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      if (error.code === "cross_device") return await this.#placeAcross(staged, path);
      // No links here (FAT, some network folders): a rename replaces what came in between, so look as late as can be.
      if (error.code !== "unsupported") throw error;
      if (await this.#tree.lstat(path) !== null) {
        throw new FileError("exists", `${path} appeared meanwhile`, { cause: error });
      }
      await this.#tree.rename(staged, path);
    }
  }

  async #placeOver(
    peer: number,
    { path, now, wanted, staged, aside }: {
      readonly path: RelativePath;
      readonly now: FileStat;
      readonly wanted: PathState;
      readonly staged: string;
      readonly aside: string;
    },
    row: Synced | null,
    conflicts: string[],
    group: Group,
  ): Promise<void> {
    if (row === null) this.#refuseTwin(peer, path, await this.#twinOf(path));
    if (now.kind !== "file" || !await this.#isReplaceable(path, now, row, wanted)) {
      conflicts.push(await this.#moveToConflict(path));
      return await this.#placeNew(staged, path);
    }
    const isNews = row !== null && row.state.hash !== wanted.hash;
    const leaving = { path, aside, row: isNews ? row : null, before: now, reason: "replaced" } as const;
    let keptAside = true;
    try {
      await this.#tree.link(path, aside);
    } catch (error) {
      if (!(error instanceof FileError && (error.code === "unsupported" || error.code === "cross_device"))) {
        throw error;
      }
      keptAside = false;
    }
    if (!keptAside && isNews && this.#trash !== null) {
      // Without links it leaves its place a moment before the new version comes.
      const before = await this.#moveAside(path, aside, now);
      await this.#placeNew(staged, path);
      return await this.#settleAside({ ...leaving, before }, conflicts, group);
    }
    try {
      await this.#tree.rename(staged, path);
    } catch (error) {
      if (keptAside) await this.#tree.unlink(aside);
      if (!(error instanceof FileError && error.code === "cross_device")) throw error;
      await this.#tree.unlink(path);
      return await this.#placeAcross(staged, path);
    }
    if (keptAside) await this.#settleAside(leaving, conflicts, group);
  }

  /**
   * Moves a file to where it waits; from a file system of its own below `synced/` by a copy.
   *
   * @returns How it looks there if nobody has edited it.
   */
  async #moveAside(path: RelativePath, aside: string, before: FileStat): Promise<FileStat> {
    try {
      await this.#tree.rename(path, aside);
      return before;
    } catch (error) {
      if (!(error instanceof FileError && error.code === "cross_device")) throw error;
    }
    await this.#copy(path, aside);
    const after = await this.#tree.lstat(path);
    if (after === null || !sameStat(after, before)) {
      await this.#tree.unlink(aside);
      throw new FileError("exists", `${path} was changed meanwhile`);
    }
    await this.#tree.unlink(path);
    return await this.#tree.lstat(aside) ?? before;
  }

  /** The old version is out of its place: if it was edited until the last moment it is a conflict copy, else it goes. */
  async #settleAside(
    { path, aside, row, before, reason }: Leaving,
    conflicts: string[],
    group: Group,
  ): Promise<void> {
    const after = await this.#tree.lstat(aside);
    if (after === null) return;
    // ctime is left out: the renames and links of this commit have changed it.
    if (
      after.kind === before.kind && after.inode === before.inode && after.device === before.device &&
      after.sizeBytes === before.sizeBytes && after.mtimeMs === before.mtimeMs
    ) {
      if (row === null || this.#trash === null) return await this.#tree.unlink(aside);
      // Until now its content may be durable in a journal only, which does not know that the file has another name.
      if (!this.#isFlushed(path, row.state.hash)) await this.#tree.flushFile(aside);
      try {
        group.trashed.push(await this.#trash.take(aside, { peer: row.peer, path, row, reason }));
        group.toFlush.add(this.#trash.place);
        return;
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
        if (reason === "deleted") {
          // Nothing is lost for want of a trash: the file stays, and the sender tries again.
          await this.#tree.rename(aside, path);
          const message =
            `${path} was not deleted, because it could not be put into the trash: ${error.message}`;
          throw new FileError(error.code, message, { cause: error });
        }
      }
    }
    const to = await freeConflictPath(this.#tree, path, this.#clock.now());
    await this.#tree.rename(aside, to);
    conflicts.push(to);
  }

  /** A folder below `synced/` that is a file system of its own: the content is copied beside its place first. */
  async #placeAcross(staged: string, path: RelativePath): Promise<void> {
    const beside = joinPath(parentOf(path) ?? "", `.${nameOf(staged)}`.slice(0, 200));
    await this.#copy(staged, beside);
    await this.#placeNew(beside, path);
    await this.#tree.unlink(staged);
  }

  /** Copies a file with its times and mode, durable. */
  async #copy(path: string, to: string): Promise<void> {
    const source = await this.#tree.openRead(path);
    try {
      const copy = await this.#tree.create(to);
      try {
        const stat = await source.stat();
        const buffer = new Uint8Array(1024 * 1024);
        for (let offset = 0;;) {
          const count = await source.readAt(buffer, offset);
          if (count === 0) break;
          await copy.write(buffer.slice(0, count));
          offset += count;
        }
        copy.setTimes(stat.mtimeMs);
        if (stat.executable === true) copy.setExecutable(true);
        await copy.flush();
      } finally {
        copy.close();
      }
    } finally {
      source.close();
    }
  }

  async #makeParents(path: RelativePath, group: Group): Promise<void> {
    const parent = parentOf(path);
    if (parent === null || group.verified.has(parent)) return;
    for (const folder of ancestorsOf(path)) {
      if (group.verified.has(folder)) continue;
      const stat = await this.#tree.lstat(folder);
      if (stat === null) {
        await this.#tree.mkdir(folder);
        group.toFlush.add(parentOf(folder) ?? "");
      } else checkParent(folder, stat);
      group.verified.add(folder);
    }
  }

  /** Like lstat, but refuses to look through a symlink on the way. */
  async #lookAt(path: RelativePath): Promise<FileStat | null> {
    for (const folder of ancestorsOf(path)) {
      const stat = await this.#tree.lstat(folder);
      if (stat === null) return null;
      if (stat.kind === "symlink") checkParent(folder, stat);
      if (stat.kind !== "folder") return null;
    }
    return await this.#tree.lstat(path);
  }

  async #clearFolder(path: RelativePath): Promise<void> {
    try {
      await this.#tree.rmdir(path);
    } catch (error) {
      if (!(error instanceof FileError && error.code === "not_empty")) throw error;
      throw new MirrorError(
        "folder_in_the_way",
        `${path} is a folder here that is not empty: a file cannot take its name`,
      );
    }
  }

  #refuseOthers(path: RelativePath, { other }: Owners): void {
    if (other === null) return;
    const name = this.#store.peers.list().find((p) => p.number === other.peer)?.name ?? "another peer";
    throw new MirrorError(
      "owned_by_other",
      `${path} belongs to ${name} here: two peers cannot mirror to one path`,
    );
  }

  /** On a folder that takes names for one: another name of this peer that the path would overwrite. */
  async #twinOf(path: RelativePath): Promise<RelativePath | null> {
    if (!this.#folding.case && !this.#folding.unicode) return null;
    const folder = parentOf(path) ?? "";
    const folded = foldedPath(nameOf(path), this.#folding);
    for (const { name } of await this.#tree.list(folder)) {
      if (name !== nameOf(path) && foldedPath(name, this.#folding) === folded) {
        return joinPath(folder, name.normalize("NFC")) as RelativePath;
      }
    }
    return null;
  }

  #refuseTwin(peer: number, path: RelativePath, twin: RelativePath | null): void {
    if (twin === null || this.#store.synced.get(peer, twin) === null) return;
    throw new MirrorError(
      "unsupported_name",
      `${path} differs only in case or Unicode form from ${twin}, and this disk takes them for one: rename one of them`,
    );
  }

  /** Whether the file is as the peer left it: nobody here would miss it. */
  async #isOurs(path: string, now: FileStat, row: Synced): Promise<boolean> {
    if (sameMark(now, row)) return true;
    return now.sizeBytes === row.state.sizeBytes &&
      await hashFile(this.#tree, path, this.#clock) === row.state.hash;
  }

  async #isReplaceable(path: string, now: FileStat, row: Synced | null, wanted: PathState): Promise<boolean> {
    if (row !== null && sameMark(now, row)) return true;
    const couldBe = [row?.state, wanted].filter((state) =>
      state?.sizeBytes === now.sizeBytes && state.kind === "file"
    );
    if (couldBe.length === 0) return false;
    const hash = await hashFile(this.#tree, path, this.#clock);
    return couldBe.some((state) => state!.hash === hash);
  }

  async #rowOf(peer: number, path: RelativePath, state: PathState): Promise<Synced> {
    const disk = await this.#tree.lstat(path);
    if (disk === null) throw new FileError("io", `${path} vanished right after it was written`);
    return { path, peer, state, disk };
  }
}

/** Whether a file looks as it did right after its commit. */
export function sameMark(now: FileStat, { disk }: Synced): boolean {
  return now.kind === "file" && now.sizeBytes === disk.sizeBytes && now.mtimeMs === disk.mtimeMs &&
    now.ctimeMs === disk.ctimeMs && now.inode === disk.inode && now.device === disk.device;
}

function sameWanted(a: PathState, b: PathState): boolean {
  return a.kind === b.kind && a.hash === b.hash && a.mtimeMs === b.mtimeMs && a.executable === b.executable;
}

function checkParent(folder: string, stat: FileStat): void {
  if (stat.kind === "folder") return;
  if (stat.kind === "symlink") {
    throw new MirrorError("symlink_in_path", `${folder} is a symlink here: nothing is written through it`);
  }
  throw new MirrorError("parent_is_file", `${folder} is a file here: it cannot hold anything`);
}

function contentNeeded(path: string): MirrorError {
  return new MirrorError("content_needed", `the content of ${path} is not here: send it`);
}
