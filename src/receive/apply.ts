import { MirrorError } from "../domain/mirror_error.ts";
import { type FileStat, FOLDER_STATE, type PathState, sameStat } from "../domain/observation.ts";
import type { Folding } from "../domain/plan.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import { readParts } from "../domain/read_parts.ts";
import {
  ancestorsOf,
  isBelow,
  joinPath,
  nameOf,
  parentOf,
  type RelativePath,
} from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { Owners, Synced } from "../store/synced.ts";
import type { Store } from "../store/store.ts";
import type { NewTrashed } from "../store/trash.ts";
import { foldersAbove } from "./flush_folders.ts";
import { hashFile } from "./hash_file.ts";
import { markOf } from "./mark_of.ts";
import { freeConflictPath } from "./staging.ts";
import { asTrashed, type Going, type Trash } from "./trash.ts";
import { twinOf } from "./twin.ts";

/** What applying one operation did: the row to write (`null`: the path is gone). */
export interface Applied {
  readonly row: Synced | null;
  /** A folder stays although its sender deleted it: it holds files of this computer. */
  readonly kept: boolean;
}

/** What an operation has done on its way, whether it came to its end or not. */
export interface Trail {
  /** Conflict copies that were made, as paths in `synced/`. */
  readonly conflicts: string[];
  /** Folders that were made for what lies in them. */
  readonly made: RelativePath[];
  /** What is of no use any more in staging, or could not be settled there: the next start looks after it. */
  readonly left: { readonly path: string; readonly error: FileError }[];
}

/** What the operations of one group share. */
export interface Group {
  /** Folders that were seen to be real folders. */
  readonly verified: Set<string>;
  /** Folders whose entries changed. */
  readonly toFlush: Set<string>;
  /** What was put in place or made, and has no row before the group is recorded. */
  readonly placed: Set<RelativePath>;
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
    // That a path is absent does not say that its deletion is durable.
    if (wanted === null || row === null || isDoubtful(row) || !sameWanted(row.state, wanted)) return false;
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
    trail: Trail,
  ): Promise<Applied> {
    this.#refuseOthers(path, owners);
    await this.#makeParents(peer, path, group, trail);
    group.toFlush.add(parentOf(path) ?? "");
    // A path without a row is most likely new: placing it there fails if it is not, so the look before can wait for that.
    let likelyNew = owners.own === null;
    for (let race = 0;; race++) {
      const now = likelyNew ? null : await this.#tree.lstat(path);
      likelyNew = false;
      try {
        if (now === null) await this.#placeNew(staged, path, trail);
        else if (now.kind === "folder") {
          // On a disk that folds names it may be another folder of this peer, which is to stay.
          if (owners.own === null) await this.#refuseTwin(peer, path, group);
          await this.#clearFolder(path);
          continue;
        } else {
          await this.#placeOver(peer, { path, now, wanted, staged, aside }, owners.own, trail, group);
        }
        break;
      } catch (error) {
        // Somebody was faster than us at this very path: look at it again.
        const raced = error instanceof FileError && (error.code === "exists" || error.code === "not_found");
        if (!raced || race >= RACES) throw error;
      }
    }
    return { row: await this.#rowOf(peer, path, wanted), kept: false };
  }

  /**
   * Takes over a file that is there already with exactly the content asked for: only times and mode are set.
   *
   * @throws {MirrorError} `content_needed` when there is no such file.
   */
  async adopt(
    peer: number,
    path: RelativePath,
    wanted: PathState,
    owners: Owners,
    group: Group,
  ): Promise<Applied> {
    this.#refuseOthers(path, owners);
    const now = await this.#lookAt(path);
    if (now?.kind !== "file" || now.sizeBytes !== wanted.sizeBytes) throw contentNeeded(path);
    const row = owners.own;
    const isKnown = row !== null && sameMark(now, row);
    // Before its times are touched: it may be somebody's edit.
    const hash = isKnown ? row.state.hash : await hashFile(this.#tree, path, this.#clock);
    if (hash !== wanted.hash) throw contentNeeded(path);
    if (now.mtimeMs !== wanted.mtimeMs) await this.#tree.setTimes(path, wanted.mtimeMs);
    if (now.executable !== null && now.executable !== wanted.executable) {
      await this.#tree.setExecutable(path, wanted.executable);
    }
    await this.#tree.flushFile(path);
    // Nobody knows how long it has been there, and in what folders.
    for (const folder of foldersAbove(path)) group.toFlush.add(folder);
    // What was saved here meanwhile must not pass for the peer's version.
    const disk = await markOf(this.#tree, path, wanted, this.#clock);
    if (disk === null) throw contentNeeded(path);
    return { row: { path, peer, state: wanted, disk }, kept: false };
  }

  /**
   * Moves a new folder with its files from staging to its place, if nothing is there.
   *
   * @returns `null` when something is, or it cannot be moved: then the folder and its files have to be put in place one by one.
   */
  async placeFolder(
    peer: number,
    path: RelativePath,
    staged: string,
    group: Group,
    trail: Trail,
  ): Promise<Applied | null> {
    await this.#makeParents(peer, path, group, trail);
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
    return { row: await this.#rowOf(peer, path, FOLDER_STATE), kept: false };
  }

  /** Makes a folder; a file of this computer that has its name becomes a conflict copy. */
  async putFolder(
    peer: number,
    path: RelativePath,
    owners: Owners,
    group: Group,
    trail: Trail,
  ): Promise<Applied> {
    if (owners.other?.state.kind === "file") this.#refuseOthers(path, owners);
    await this.#makeParents(peer, path, group, trail);
    group.toFlush.add(parentOf(path) ?? "");
    const now = await this.#tree.lstat(path);
    if (now !== null && now.kind !== "folder") {
      const row = owners.own;
      if (row !== null && now.kind === "file" && await this.#isOurs(path, now, row)) {
        throw new MirrorError(
          "parent_is_file",
          `${path} is a file here: it must be deleted before a folder can take its name`,
        );
      }
      await this.#refuseTwin(peer, path, group);
      await this.#moveToConflict(path, trail);
    } else if (now !== null && owners.own === null) {
      await this.#refuseTwin(peer, path, group);
    }
    if (now?.kind !== "folder") await this.#tree.mkdir(path);
    group.verified.add(path);
    return { row: await this.#rowOf(peer, path, FOLDER_STATE), kept: false };
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
    trail: Trail,
  ): Promise<Applied> {
    const row = owners.own;
    const gone = { row: null, kept: false };
    const parent = parentOf(path) ?? "";
    const now = await this.#lookAt(path);
    if (now === null) {
      group.toFlush.add(parent);
      return gone;
    }
    if (now.kind === "folder") {
      if (owners.other !== null) {
        // Another peer has it too. Whoever does not know folders asks for a file, in whose place this one is.
        if (!mayKeep && (await this.#tree.list(path)).length > 0) throw notEmpty(path);
        return { ...gone, kept: true };
      }
      try {
        await this.#tree.rmdir(path);
      } catch (error) {
        if (!(error instanceof FileError && error.code === "not_empty")) throw error;
        if (mayKeep && !this.#hasBelow(path, group)) return { ...gone, kept: true };
        throw notEmpty(path);
      }
      group.verified.delete(path);
      group.toFlush.add(parent);
      if (this.#trash !== null && row !== null) {
        const going = { peer: row.peer, path, row, reason: "deleted" } as const;
        group.trashed.push(asTrashed(going, null, this.#clock.now()));
      }
      return gone;
    }
    if (row === null) {
      this.#refuseOthers(path, owners);
      throw new MirrorError("not_owned", `${path} did not come from you: it was left as it is`);
    }
    // What is of another kind is this computer's own: what the peer had here is gone already.
    if (now.kind !== row.state.kind) {
      group.toFlush.add(parent);
      return gone;
    }
    group.toFlush.add(parent);
    if (await this.#isOurs(path, now, row)) {
      const before = await this.#moveAside(path, aside, now);
      const undone = await this.#settleAside({ path, aside, row, before, reason: "deleted" }, trail, group);
      if (undone !== null) throw undone;
    } else await this.#moveToConflict(path, trail);
    return gone;
  }

  /** Moves what is at a path to a conflict copy. */
  async #moveToConflict(path: string, trail: Trail): Promise<void> {
    const to = await freeConflictPath(this.#tree, path, this.#clock.now());
    await this.#tree.rename(path, to);
    trail.conflicts.push(to);
  }

  async #placeNew(staged: string, path: RelativePath, trail: Trail): Promise<void> {
    try {
      await this.#tree.link(staged, path);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      if (error.code === "cross_device") return await this.#placeAcross(staged, path, trail);
      // No links here (FAT, some network folders): a rename replaces what came in between, so look as late as can be.
      if (error.code !== "unsupported") throw error;
      if (await this.#tree.lstat(path) !== null) {
        throw new FileError("exists", `${path} appeared meanwhile`, { cause: error });
      }
      return await this.#tree.rename(staged, path);
    }
    await this.#drop(staged, trail);
  }

  /** Removes what is of no use any more. The operation is done, also if that cannot be. */
  async #drop(staged: string, trail: Trail): Promise<void> {
    try {
      await this.#tree.unlink(staged);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      if (error.code !== "not_found") trail.left.push({ path: staged, error });
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
    trail: Trail,
    group: Group,
  ): Promise<void> {
    if (row === null) await this.#refuseTwin(peer, path, group);
    if (now.kind !== "file" || !await this.#isReplaceable(path, now, row, wanted)) {
      await this.#moveToConflict(path, trail);
      return await this.#placeNew(staged, path, trail);
    }
    const isNews = row !== null && row.state.hash !== wanted.hash;
    const leaving = { path, aside, row: isNews ? row : null, before: now, reason: "replaced" } as const;
    try {
      await this.#tree.replace(staged, path, aside);
    } catch (error) {
      await this.#drop(aside, trail);
      if (!(error instanceof FileError && (error.code === "unsupported" || error.code === "cross_device"))) {
        throw error;
      }
      return await this.#placeWithoutLink(leaving, staged, trail, group);
    }
    await this.#settleAside(leaving, trail, group);
  }

  /** The same where the old version cannot have a second name: it leaves its place a moment before the new one comes. */
  async #placeWithoutLink(leaving: Leaving, staged: string, trail: Trail, group: Group): Promise<void> {
    const { path, aside, row } = leaving;
    if (row !== null && this.#trash !== null) {
      const before = await this.#moveAside(path, aside, leaving.before);
      await this.#placeNew(staged, path, trail);
      await this.#settleAside({ ...leaving, before }, trail, group);
      return;
    }
    try {
      await this.#tree.rename(staged, path);
    } catch (error) {
      if (!(error instanceof FileError && error.code === "cross_device")) throw error;
      await this.#tree.unlink(path);
      await this.#placeAcross(staged, path, trail);
    }
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

  /**
   * The old version is out of its place: if it was edited until the last moment it is a conflict copy, else it goes, into the trash
   * if there is one. What the disk refuses leaves it in staging, and the operation is done all the same: the next start judges it, and
   * keeps what it does not know.
   *
   * @returns Why a deletion was undone: the version could not be kept in the trash.
   */
  async #settleAside(
    { path, aside, row, before, reason }: Leaving,
    trail: Trail,
    group: Group,
  ): Promise<FileError | null> {
    try {
      const after = await this.#tree.lstat(aside);
      if (after === null) return null;
      // ctime is left out: the renames and links of this commit have changed it.
      const isAsBefore = after.kind === before.kind && after.inode === before.inode &&
        after.device === before.device && after.sizeBytes === before.sizeBytes &&
        after.mtimeMs === before.mtimeMs;
      if (isAsBefore && (row === null || this.#trash === null)) {
        await this.#tree.unlink(aside);
        return null;
      }
      if (isAsBefore && row !== null && this.#trash !== null) {
        const refusal = await this.#intoTrash(
          this.#trash,
          aside,
          { peer: row.peer, path, row, reason },
          group,
        );
        if (refusal === null) return null;
        if (reason === "deleted") {
          // Nothing is lost for want of a trash: the file stays, and the sender tries again.
          await this.#tree.rename(aside, path);
          const message =
            `${path} was not deleted, because it could not be put into the trash: ${refusal.message}`;
          return new FileError(refusal.code, message, { cause: refusal });
        }
      }
      const to = await freeConflictPath(this.#tree, path, this.#clock.now());
      await this.#tree.rename(aside, to);
      trail.conflicts.push(to);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      trail.left.push({ path: aside, error });
    }
    return null;
  }

  /** @returns Why it could not be put there. */
  async #intoTrash(trash: Trash, aside: string, going: Going, group: Group): Promise<FileError | null> {
    const { path, row } = going;
    try {
      // Until now its content may be durable in a journal only, which does not know that the file has another name.
      if (!this.#isFlushed(path, row.state.hash)) await this.#tree.flushFile(aside);
      group.trashed.push(await trash.take(aside, going));
      group.toFlush.add(trash.place);
      return null;
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      return error;
    }
  }

  /** A folder below `synced/` that is a file system of its own: the content is copied beside its place first. */
  async #placeAcross(staged: string, path: RelativePath, trail: Trail): Promise<void> {
    const beside = joinPath(parentOf(path) ?? "", `.${nameOf(staged)}`.slice(0, 200));
    await this.#copy(staged, beside);
    await this.#placeNew(beside, path, trail);
    await this.#drop(staged, trail);
  }

  /** Copies a file with its times and mode, durable. */
  async #copy(path: string, to: string): Promise<void> {
    const source = await this.#tree.openRead(path);
    try {
      const copy = await this.#tree.create(to);
      try {
        const stat = await source.stat();
        for await (const part of readParts(source, new Slices(this.#clock))) await copy.write(part);
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

  async #makeParents(peer: number, path: RelativePath, group: Group, trail: Trail): Promise<void> {
    const parent = parentOf(path);
    if (parent === null || group.verified.has(parent)) return;
    for (const folder of ancestorsOf(path)) {
      if (group.verified.has(folder)) continue;
      const stat = await this.#tree.lstat(folder);
      if (stat === null) {
        await makeParent(this.#tree, this.#store, peer, folder);
        trail.made.push(folder);
        group.placed.add(folder);
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

  /** Whether something below a folder came from a peer. */
  #hasBelow(folder: RelativePath, group: Group): boolean {
    for (const path of group.placed) if (isBelow(path, folder)) return true;
    return this.#store.synced.hasBelow(folder);
  }

  async #clearFolder(path: RelativePath): Promise<void> {
    try {
      await this.#tree.rmdir(path);
    } catch (error) {
      if (!(error instanceof FileError && error.code === "not_empty")) throw error;
      throw folderInTheWay(path);
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

  /** Refuses a path where the disk has another name of this peer in mind. */
  async #refuseTwin(peer: number, path: RelativePath, group: Group): Promise<void> {
    const twin = await twinOf(this.#tree, this.#folding, path);
    if (twin === null) return;
    if (!group.placed.has(twin) && this.#store.synced.get(peer, twin) === null) return;
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
    try {
      const now = await this.#tree.lstat(path);
      const isAsPut = now?.kind === state.kind &&
        (state.kind === "folder" || (now.sizeBytes === state.sizeBytes && now.mtimeMs === state.mtimeMs));
      // Edited right after it was put there, or on a disk with coarse times: only its content can tell.
      const disk = isAsPut || state.kind === "folder"
        ? now
        : await markOf(this.#tree, path, state, this.#clock);
      if (disk !== null) return { path, peer, state, disk };
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
    }
    // It is in place, or was until a moment ago: the next inspection looks at it again.
    return doubtfulRow(peer, path, state);
  }
}

/** Why a file cannot take the name of a folder that has something in it. */
function notEmpty(path: RelativePath): MirrorError {
  return new MirrorError(
    "folder_not_empty",
    `the folder ${path} is not empty here, and a deletion is never recursive`,
  );
}

export function folderInTheWay(path: RelativePath): MirrorError {
  return new MirrorError(
    "folder_in_the_way",
    `${path} is a folder here that is not empty: a file cannot take its name`,
  );
}

/** Makes a folder for what goes into it. Its row comes first: after a crash it would be nobody's, and stay when its sender deletes its own. */
export async function makeParent(
  tree: FileTree,
  { synced }: Store,
  peer: number,
  folder: RelativePath,
): Promise<void> {
  if (synced.get(peer, folder) === null) synced.put(doubtfulRow(peer, folder, FOLDER_STATE));
  await tree.mkdir(folder);
}

/** No file has this ctime, so a row with it fits none. */
const NO_CTIME_MS = -1;

/** A row for what was put in place without a look at it afterwards. */
export function doubtfulRow(peer: number, path: RelativePath, state: PathState): Synced {
  const { sizeBytes, mtimeMs } = state;
  return { path, peer, state, disk: { sizeBytes, mtimeMs, ctimeMs: NO_CTIME_MS, inode: 0, device: 0 } };
}

/**
 * A row for what is in place but was not acknowledged, because it may not be durable. Its mark fits no file, so the operation is
 * applied again when it comes again; its hash tells that the file is the peer's.
 */
export function asDoubtful(row: Synced): Synced {
  return { ...row, disk: { ...row.disk, ctimeMs: NO_CTIME_MS } };
}

export function isDoubtful(row: Synced): boolean {
  return row.disk.ctimeMs === NO_CTIME_MS;
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
