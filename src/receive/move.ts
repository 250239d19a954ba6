import type { EventSink } from "../domain/events.ts";
import type { Operation } from "../domain/header.ts";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { FileStat } from "../domain/observation.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import {
  ancestorsOf,
  isBelow,
  joinPath,
  parentOf,
  parseRelativePath,
  type RelativePath,
} from "../domain/relative_path.ts";
import type { Slices } from "../domain/slices.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { BegunMove } from "../store/moves.ts";
import type { Store } from "../store/store.ts";
import { asDoubtful, makeParent, sameMark } from "./apply.ts";
import { type Outcome, toOutcome } from "./committer.ts";
import { flushFolders, foldersAbove } from "./flush_folders.ts";
import { lookAgain } from "./look_again.ts";
import { markOf } from "./mark_of.ts";

/** A move as it was asked for. */
export type Move = Operation & { readonly from: RelativePath };

export interface MoverParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
  readonly onEvent: EventSink;
}

/**
 * Renames what a peer has put into `synced/`: a file, or a folder with all that is in it, whose content then does not travel. Only
 * what is as the peer left it is moved, and nothing is replaced: in every doubt the answer is `cannot_move`, and the sender does it
 * in single steps. To be called while nothing is being committed.
 */
export class Mover {
  readonly #parts: MoverParts;
  /** Moves that the disk refused to bring to their end: how much of them has happened is not written down yet. */
  readonly #open = new Set<BegunMove>();

  constructor(parts: MoverParts) {
    this.#parts = parts;
  }

  /** Carries out a move; durable when it answers ok. */
  async move(
    peer: { readonly number: number; readonly name: string },
    move: Move,
    wireBytes: number,
    slices: Slices,
  ): Promise<Outcome> {
    let outcome: Outcome;
    try {
      await this.settle(move.from);
      await this.settle(move.path);
      if (!await this.#isDone(peer.number, move)) {
        if (move.kind === "folder") await this.#moveFolder(peer.number, move, slices);
        else await this.#moveFile(peer.number, move);
      }
      outcome = { status: "ok", kept: false };
    } catch (error) {
      outcome = toOutcome(error);
    }
    this.#log(peer.name, move, outcome, wireBytes);
    return outcome;
  }

  /** Whether nothing may be concluded from what is at a path: a move that concerns it has not come to its end. */
  isOpen(path: RelativePath): boolean {
    return [...this.#open].some((move) => concerns(move, path));
  }

  /**
   * Brings moves to their end that concern a path; to be called while nothing else is being committed.
   *
   * @throws {FileError} when the disk refuses it still.
   */
  async settle(path: RelativePath): Promise<void> {
    for (const open of this.#open) {
      if (!concerns(open, path)) continue;
      // Of a peer that was removed meanwhile no row tells what is where: its files are nobody's.
      if (this.#parts.store.peers.has(open.peer)) await lookAgain(() => settleMove(this.#parts, open));
      this.#open.delete(open);
    }
  }

  /** Carries out the steps of a move between two looks at what has become of it, should one of them fail. */
  async #begun(move: BegunMove, steps: () => Promise<void>): Promise<void> {
    const { store } = this.#parts;
    store.transaction(() => store.moves.begin(move));
    this.#open.add(move);
    try {
      await steps();
      this.#open.delete(move);
    } catch (error) {
      try {
        await this.settle(move.path);
      } catch {
        // It stays open: whoever comes to one of its paths, or the next start, tries again.
      }
      throw error;
    }
  }

  /** Whether it has happened before; what was left undone is done. */
  async #isDone(peer: number, move: Move): Promise<boolean> {
    const { from, path, kind, hash, mtimeMs } = move;
    const { store } = this.#parts;
    const row = store.synced.get(peer, path);
    if (row === null || row.state.kind !== kind || row.state.hash !== hash) return false;
    if (store.synced.get(peer, from) !== null) return false;
    const now = await this.#look(path);
    if (kind === "folder") return now?.kind === "folder";
    if (now === null || !sameMark(now, row)) return false;
    // A crash can have come between the rename and what belongs to it.
    if (row.state.mtimeMs !== mtimeMs || row.state.executable !== (move.executable ?? false)) {
      const disk = await this.#dress(move, now);
      store.transaction(() => this.#record(peer, move, now, disk));
    }
    return true;
  }

  async #moveFolder(peer: number, { from, path }: Move, slices: Slices): Promise<void> {
    const { tree, store } = this.#parts;
    if (isBelow(path, from)) throw cannot(from, "a folder cannot be moved into itself");
    if ((await this.#look(from))?.kind !== "folder") throw cannot(from, "it is no folder here");
    await this.#mustBeFree(path);
    if (store.synced.get(peer, from) === null || store.synced.hasOthersAt(peer, from)) {
      throw cannot(from, "it is not yours alone");
    }
    await this.#mustBeAsLeft(peer, from, path, slices);
    const toFlush = await this.#makeParents(peer, path);
    const begun = { peer, from, path, kind: "folder", inode: 0, mtimeMs: 0 } as const;
    await this.#begun(begun, async () => {
      await tree.rename(from, path);
      await flushFolders(tree, [...toFlush, parentOf(from) ?? "", parentOf(path) ?? ""]);
      store.transaction(() => {
        store.synced.moveFolder(peer, from, path);
        store.moves.end(begun);
      });
    });
  }

  /**
   * Everything in the folder must be this peer's, and as it left it: what somebody else put there stays where it is. And nothing in it
   * may get a path that could not have come by itself.
   */
  async #mustBeAsLeft(peer: number, folder: RelativePath, to: RelativePath, slices: Slices): Promise<void> {
    const { tree, store } = this.#parts;
    let found = 0;
    const open: string[] = [folder];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const { name, stat } of await tree.list(next)) {
        const path = joinPath(next, name) as RelativePath;
        mustBePath(to + path.slice(folder.length));
        const row = store.synced.get(peer, path);
        // A folder without a row was made for what the peer put into it.
        const same = row === null
          ? stat?.kind === "folder" && store.synced.hasBelow(path)
          : stat !== null && (row.state.kind === "folder" ? stat.kind === "folder" : sameMark(stat, row));
        if (!same || store.synced.hasOthersAt(peer, path)) {
          throw cannot(folder, `${path} in it was not put there by you, or was changed here`);
        }
        if (stat?.kind === "folder") open.push(path);
        if (row !== null) found++;
        if (slices.over) await slices.rest();
      }
    }
    if (found !== store.synced.countBelow(folder)) throw cannot(folder, "something in it is missing here");
  }

  async #moveFile(peer: number, move: Move): Promise<void> {
    const { tree, store } = this.#parts;
    const { from, path } = move;
    const row = store.synced.get(peer, from);
    const before = await this.#look(from);
    if (row === null || before === null || !sameMark(before, row) || row.state.hash !== move.hash) {
      throw cannot(from, "it is not here as you left it");
    }
    await this.#mustBeFree(path);
    const toFlush = await this.#makeParents(peer, path);
    const begun = { peer, from, path, kind: "file", inode: before.inode, mtimeMs: move.mtimeMs } as const;
    await this.#begun(begun, async () => {
      await this.#relink(from, path);
      const disk = await this.#dress(move, before);
      await flushFolders(tree, [...toFlush, parentOf(from) ?? "", parentOf(path) ?? ""]);
      store.transaction(() => {
        this.#record(peer, move, before, disk);
        store.moves.end(begun);
      });
    });
  }

  /** Gives a file that was moved the times and mode that it should have; tells how it looks then, `null` if it was edited. */
  async #dress(move: Move, before: FileStat): Promise<FileStat | null> {
    const { tree, clock } = this.#parts;
    const { path } = move;
    const executable = move.executable ?? false;
    const differs = before.mtimeMs !== move.mtimeMs || (before.executable ?? executable) !== executable;
    if (before.mtimeMs !== move.mtimeMs) await tree.setTimes(path, move.mtimeMs);
    if ((before.executable ?? executable) !== executable) await tree.setExecutable(path, executable);
    if (differs) {
      await tree.flushFile(path);
      // An edit of this moment would have got the peer's time.
      return await markOf(tree, path, move, clock);
    }
    const disk = await tree.lstat(path);
    if (disk === null || disk.kind !== "file") {
      throw new FileError("io", `${path} vanished right after it was moved`);
    }
    return disk;
  }

  #record(peer: number, move: Move, before: FileStat, disk: FileStat | null): void {
    const { store } = this.#parts;
    const { from, path, sizeBytes, mtimeMs, hash } = move;
    store.synced.remove(peer, from);
    const state = { kind: "file", sizeBytes, mtimeMs, executable: move.executable ?? false, hash } as const;
    // Edited in the moment of the move: the row tells how the peer's version looked, so that the edit is found and kept.
    const edited = disk === null || disk.sizeBytes !== before.sizeBytes ||
      (disk.mtimeMs !== before.mtimeMs && disk.mtimeMs !== mtimeMs);
    const row = { path, peer, state, disk: before };
    store.synced.put(edited ? asDoubtful(row) : { ...row, disk });
  }

  /** A new name, then the old one goes: the link fails if something has the new name, which a rename would replace. */
  async #relink(from: RelativePath, path: RelativePath): Promise<void> {
    const { tree } = this.#parts;
    try {
      await tree.link(from, path);
    } catch (error) {
      if (!(error instanceof FileError && error.code === "unsupported")) throw error;
      if (await tree.lstat(path) !== null) throw new FileError("exists", `${path} appeared meanwhile`);
      return await tree.rename(from, path);
    }
    await tree.unlink(from);
  }

  async #mustBeFree(path: RelativePath): Promise<void> {
    if (await this.#look(path) !== null) throw cannot(path, "something has that name here");
  }

  /** Like lstat, but through real folders only. */
  async #look(path: RelativePath): Promise<FileStat | null> {
    const { tree } = this.#parts;
    for (const folder of ancestorsOf(path)) {
      const stat = await tree.lstat(folder);
      if (stat === null) return null;
      if (stat.kind !== "folder") throw cannot(path, `${folder} is no folder here`);
    }
    return await tree.lstat(path);
  }

  /** @returns The folders that have got new entries. */
  async #makeParents(peer: number, path: RelativePath): Promise<string[]> {
    const { tree, store } = this.#parts;
    const changed: string[] = [];
    for (const folder of ancestorsOf(path)) {
      if (await tree.lstat(folder) !== null) continue;
      await makeParent(tree, store, peer, folder);
      changed.push(parentOf(folder) ?? "");
    }
    return changed;
  }

  #log(peer: string, move: Move, outcome: Outcome, wireBytes: number): void {
    const { store, clock, onEvent } = this.#parts;
    // A question that was answered with no, as an offer that is declined: the sender goes on in another way.
    if (outcome.status === "error" && outcome.code === "cannot_move") return;
    try {
      store.log.add({
        atMs: clock.now(),
        id: move.id,
        direction: "received",
        action: "move",
        path: move.path,
        from: move.from,
        sizeBytes: move.sizeBytes,
        hash: move.hash === "" ? null : move.hash,
        timestamp: formatTimestamp(move.mtimeMs),
        sender: move.sender,
        peer,
        status: outcome.status,
        code: outcome.status === "error" ? outcome.code : null,
        error: outcome.status === "error" ? outcome.message : null,
        wireBytes,
      });
    } catch (error) {
      onEvent({
        kind: "problem",
        level: "warning",
        message: `a move could not be logged: ${messageOf(error)}`,
      });
    }
  }
}

/** After a crash: brings the moves that were begun to their end. */
export async function recoverMoves(parts: Pick<MoverParts, "tree" | "store">): Promise<void> {
  for (const begun of parts.store.moves.list()) await lookAgain(() => settleMove(parts, begun));
}

/** Finds out whether a move that was begun has happened, and writes down what is, when it is durable. */
async function settleMove(
  { tree, store }: Pick<MoverParts, "tree" | "store">,
  begun: BegunMove,
): Promise<void> {
  const { peer, from, path, kind, inode, mtimeMs } = begun;
  const old = await tree.lstat(from);
  let now = await tree.lstat(path);
  // The new name was made and the old one not yet removed: one file under two names.
  const twice = kind === "file" && old?.kind === "file" && now?.kind === "file" && old.inode === inode &&
    now.inode === inode && inode !== 0;
  if (twice) {
    await tree.unlink(from);
    // That changes the file's ctime, by which it is known.
    now = await tree.lstat(path);
  }
  await flushFolders(tree, foldersAbove(from, path));
  store.transaction(() => {
    if (kind === "folder" && old === null && now?.kind === "folder") {
      store.synced.moveFolder(peer, from, path);
    }
    const row = kind === "file" ? store.synced.get(peer, from) : null;
    const sameTime = now?.mtimeMs === row?.disk.mtimeMs || now?.mtimeMs === mtimeMs;
    if (
      row !== null && now?.kind === "file" && now.inode === inode && sameTime &&
      now.sizeBytes === row.disk.sizeBytes
    ) {
      store.synced.put({ ...row, path, state: { ...row.state, mtimeMs: now.mtimeMs }, disk: now });
      store.synced.remove(peer, from);
    }
    store.moves.end(begun);
  });
}

/** Whether a move changes what a path is, or what is below or above it. */
function concerns({ from, path: to }: BegunMove, path: RelativePath): boolean {
  return [from, to].some((end) => path === end || isBelow(path, end) || isBelow(end, path));
}

/** @throws {MirrorError} `cannot_move` when something that is moved along would get a path that is none. */
function mustBePath(path: string): void {
  try {
    parseRelativePath(path);
  } catch (error) {
    throw cannot(path, messageOf(error));
  }
}

function cannot(path: string, why: string): MirrorError {
  return new MirrorError("cannot_move", `${path} cannot be moved: ${why}`);
}
