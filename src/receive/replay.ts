import { hash as hashOf } from "node:crypto";
import { type FileStat, type PathState, sameState } from "../domain/observation.ts";
import { FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";
import { isBelow, parentOf, type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import type { Intent } from "../store/intents.ts";
import type { JournalRow } from "../store/journals.ts";
import { localNote } from "../store/log.ts";
import { asDoubtful, isDoubtful, sameMark } from "./apply.ts";
import { type JournalEntry, type ReadEntry, readJournal } from "./journal_format.ts";
import { flushFolders } from "./flush_folders.ts";
import { lookAgain } from "./look_again.ts";
import { hasRealParents, isOtherName, type RecoverParts, recoverPath } from "./recover_path.ts";
import { markOf } from "./mark_of.ts";
import { noteCopies } from "./note_copies.ts";
import { freeConflictPath } from "./staging.ts";

/** The shortest time between two attempts for the sake of one path; each reads the journals. */
const AGAIN_MS = 5_000;

/**
 * After a crash: looks for every file in the journals whether its content has reached the disk, brings back from the journal what
 * a power cut has taken, and flushes what is there. Edits by hand are left to the inspection, which keeps them.
 */
export class Replay {
  readonly #parts: RecoverParts;
  readonly #journals: readonly JournalRow[];
  /** Where commits that had begun keep old versions, by the path that these come from. */
  readonly #asides = new Map<RelativePath, string>();
  readonly #failures = new Map<string, FileError>();
  #triedAtMs = 0;
  /** What could not be brought back from them now; `null` when not even that is known. */
  #waiting: Set<RelativePath> | null = new Set();
  /** Of that, by journal: what had only begun. */
  #open = new Map<string, Set<RelativePath>>();

  /** @param begun What had begun without a journal. */
  constructor(parts: RecoverParts, begun: readonly Intent[]) {
    this.#parts = parts;
    this.#journals = parts.store.journals.list();
    for (const { path, aside } of begun) this.#asides.set(path, aside);
  }

  /** First, before the commits are recovered that had only begun: what they were to replace has to be right. */
  async committed(): Promise<void> {
    await this.#each(this.#journals, (read, isCommitted) => {
      if (!isCommitted) this.#asides.set(read.entry.path, read.entry.aside);
      return Promise.resolve();
    });
    await this.#each(this.#journals, async (read, isCommitted) => {
      if (isCommitted) await this.#replayCommitted(read);
    });
  }

  /**
   * Then those that had begun with a journal. Nothing was acknowledged of them; they may have happened or not.
   *
   * @returns Their paths.
   */
  async begun(): Promise<RelativePath[]> {
    const paths: RelativePath[] = [];
    await this.#each(this.#journals, async (read, isCommitted) => {
      if (isCommitted) return;
      this.#asides.set(read.entry.path, read.entry.aside);
      paths.push(read.entry.path);
      await this.#replayBegun(read);
    });
    return paths;
  }

  /** Whether a path still has to be brought back: nothing may be concluded from what is there. */
  waits(path: RelativePath): boolean {
    return this.#waiting === null || this.lacks(path);
  }

  /** Whether it is known of a path that its version is not there yet, although it was acknowledged. */
  lacks(path: RelativePath): boolean {
    return this.#waiting !== null && this.#waiting.has(path);
  }

  /** Whether a journal still stands for what is at a path, or in the folder there: by that path, so it may not be moved. */
  standsFor(path: RelativePath): boolean {
    if (this.isOver) return false;
    if (this.#waiting === null) return true;
    return [...this.#waiting].some((waiting) => waiting === path || isBelow(waiting, path));
  }

  /** Whether everything has been brought back. */
  get isOver(): boolean {
    return this.#failures.size === 0;
  }

  /** Tries again to bring back what the disk had refused; to be called while nothing is being committed. */
  async again(): Promise<void> {
    if (this.isOver) return;
    const { store, clock } = this.#parts;
    const before = this.#waiting;
    const journals = store.journals.list().filter(({ name }) => this.#failures.has(name));
    this.#failures.clear();
    this.#waiting = new Set();
    this.#open = new Map();
    await this.#each(journals, async (read, isCommitted) => {
      const { path } = read.entry;
      if (before !== null && !before.has(path)) return;
      if (isCommitted) return await this.#replayCommitted(read);
      await this.#replayBegun(read);
      await noteCopies(this.#parts, [path]);
    });
    this.#triedAtMs = clock.monotonic();
    for (const { name } of journals) {
      if (this.#failures.has(name)) {
        store.journals.setOpen(name, this.#open.get(name) ?? []);
        continue;
      }
      store.journals.remove(name);
      const path = `${STAGING_FOLDER}/${name}`;
      store.log.add(
        localNote(clock.now(), "journal", path, "recovered", "what was left in it has been brought back"),
      );
      await this.#guard(name, () => this.#parts.tree.unlink(path), () => {});
    }
  }

  /**
   * Brings back what waits at a path, before anything else is put there. Other operations may be under way on paths that do not wait.
   *
   * @throws {FileError} when the disk refuses it still.
   */
  async settle(path: RelativePath): Promise<void> {
    if (!this.lacks(path)) return;
    if (this.#parts.clock.monotonic() - this.#triedAtMs >= AGAIN_MS) await this.again();
    if (!this.lacks(path)) return;
    const [failure] = this.#failures.values();
    throw failure!;
  }

  /**
   * Ends the journals.
   *
   * @returns Paths in staging of those that are still needed, because something could not be brought back now.
   */
  end(): Set<string> {
    const { store, clock } = this.#parts;
    this.#triedAtMs = clock.monotonic();
    const needed = new Set<string>();
    for (const { name } of this.#journals) {
      const failure = this.#failures.get(name);
      if (failure === undefined) {
        store.journals.remove(name);
        continue;
      }
      const path = `${STAGING_FOLDER}/${name}`;
      needed.add(path);
      // All else that had only begun has been dealt with: from now on its entries count only while their rows are there.
      const open = this.#open.get(name) ?? [];
      store.journals.setOpen(name, open);
      for (const begun of open) needed.add(this.#asides.get(begun)!);
      const message = `not everything in it could be brought back, it is tried again: ${failure.message}`;
      store.log.add(localNote(clock.now(), "journal", path, failure.code, message));
    }
    return needed;
  }

  /** Goes through all entries. What the file system refuses for one of them keeps its journal, not the others from coming back. */
  async #each(
    journals: readonly JournalRow[],
    work: (read: ReadEntry, isCommitted: boolean) => Promise<void>,
  ): Promise<void> {
    for (const { name, committedBytes, open } of journals) {
      await this.#guard(name, async () => {
        const file = await this.#read(name);
        if (file === null) return;
        try {
          for await (const read of readJournal(file)) {
            const { path } = read.entry;
            const isCommitted = read.lumpEnd <= committedBytes || (open !== null && !open.has(path));
            await this.#guard(
              name,
              () => lookAgain(() => work(read, isCommitted)),
              () => this.#waitFor(name, path, isCommitted),
            );
          }
        } finally {
          file.close();
        }
      }, () => this.#waiting = null);
    }
  }

  #waitFor(name: string, path: RelativePath, isCommitted: boolean): void {
    this.#waiting?.add(path);
    if (isCommitted) return;
    const open = this.#open.get(name);
    if (open === undefined) this.#open.set(name, new Set([path]));
    else open.add(path);
  }

  async #guard(name: string, work: () => Promise<void>, onFailure: () => void): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      this.#failures.set(name, error);
      onFailure();
    }
  }

  async #read(name: string): Promise<ReadHandle | null> {
    try {
      return await this.#parts.tree.openRead(`${STAGING_FOLDER}/${name}`);
    } catch (error) {
      // It never became durable, so nothing of it was acknowledged; or it had served its purpose.
      if (error instanceof FileError && error.code === "not_found") return null;
      throw error;
    }
  }

  /** The version must be there, if it is still the newest. */
  async #replayCommitted(read: ReadEntry): Promise<void> {
    const { tree, store, clock } = this.#parts;
    const { entry, entry: { path, peer, state } } = read;
    const row = store.synced.get(peer, path);
    if (row === null || !sameState(row.state, state)) return;
    const content = await read.content();
    // Folders that are gone or replaced: the inspection has it sent again.
    if (content === null || !await hasRealParents(tree, path)) return;
    await this.#dropLostAside(entry, content);
    const { now, found } = await lookAt(tree, path, state, content);
    if (found === "whole") return await tree.flushFile(path);
    if (found === "other") {
      // Somebody's edit, if its mark says so: the inspection keeps it. With the mark that we left, nobody can know.
      if (now === null || !sameMark(now, row)) return;
      const copy = await freeConflictPath(tree, path, clock.now());
      await tree.rename(path, copy);
      const message = `${path} was not what had been received, after a crash: this is what was there`;
      store.log.add(localNote(clock.now(), "conflict", copy, "conflict", message));
    }
    await restore(this.#parts, entry, content, found === "other" ? null : now);
    const disk = await markOf(tree, path, state, clock);
    if (disk === null) return;
    // What was not acknowledged then is settled by the inspection, which tells of it too.
    const restored = { path, peer, state, disk };
    store.synced.put(isDoubtful(row) ? asDoubtful(restored) : restored);
  }

  /** A newer version had begun to replace this one, which a power cut took: what is left of it is nobody's edit. */
  async #dropLostAside({ path, state }: JournalEntry, content: Uint8Array): Promise<void> {
    const { tree } = this.#parts;
    const aside = this.#asides.get(path);
    if (aside === undefined) return;
    const { now, found } = await lookAt(tree, aside, state, content);
    if (now !== null && found === "lost") await tree.unlink(aside);
  }

  /** What is left of a version that nobody was told of goes if it cannot be brought back now: its sender sends it again. */
  async #restoreBegun(entry: JournalEntry, content: Uint8Array, now: FileStat | null): Promise<void> {
    try {
      await restore(this.#parts, entry, content, now);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      await this.#parts.tree.unlink(entry.path);
      await flushFolders(this.#parts.tree, [parentOf(entry.path) ?? ""]);
    }
  }

  async #replayBegun(read: ReadEntry): Promise<void> {
    const { tree, store } = this.#parts;
    const { entry, entry: { path, peer, state } } = read;
    // Removed meanwhile: nobody is there to whom it could belong. What waits aside is rescued by the sweep.
    if (!store.peers.has(peer)) return;
    const content = await read.content();
    if (content !== null && await hasRealParents(tree, path)) {
      const { now, found } = await lookAt(tree, path, state, content);
      const row = store.synced.get(peer, path);
      const isBefore = now === null || (row !== null && sameMark(now, row));
      if (found === "whole") await tree.flushFile(path);
      else if (found === "lost" && !isBefore && !(row === null && await isOtherName(this.#parts, path))) {
        await this.#restoreBegun(entry, content, now);
      }
    }
    await recoverPath(this.#parts, entry);
  }
}

/**
 * What is at a path where a version was put. `lost`: nothing, or what a power cut leaves of a file that was not flushed, so that
 * nobody else's content is in it. `other`: anything else.
 */
async function lookAt(
  tree: FileTree,
  path: string,
  state: PathState,
  content: Uint8Array,
): Promise<{ now: FileStat | null; found: "whole" | "lost" | "other" }> {
  const now = await tree.lstat(path);
  if (now === null) return { now, found: "lost" };
  if (now.kind !== "file" || now.sizeBytes > state.sizeBytes) return { now, found: "other" };
  const { content: there } = await tree.readSmall(path, now.sizeBytes);
  if (there.length === content.length && hashOf("sha256", there, "hex") === state.hash) {
    return { now, found: "whole" };
  }
  return { now, found: isRemnant(there, now, content, state) ? "lost" : "other" };
}

/** Empty; or with the time that we gave it, and every byte either ours or one that was never written. */
function isRemnant(there: Uint8Array, now: FileStat, content: Uint8Array, state: PathState): boolean {
  if (there.length === 0) return true;
  return now.mtimeMs === state.mtimeMs && there.every((byte, i) => byte === 0 || byte === content[i]);
}

/** Puts a version back from the journal, durable. */
async function restore(
  { tree, staging }: RecoverParts,
  { path, state }: JournalEntry,
  content: Uint8Array,
  now: FileStat | null,
): Promise<void> {
  const staged = await staging.create();
  try {
    if (content.length > 0) await staged.handle.write(content);
    staged.handle.setTimes(state.mtimeMs);
    if (state.executable) staged.handle.setExecutable(true);
    await staged.handle.flush();
  } catch (error) {
    staged.handle.close();
    // It would take the room that is missing, once more with every attempt.
    await tree.unlink(staged.path);
    throw error;
  }
  staged.handle.close();
  // What stands there is ours or empty; where nothing does, nothing that comes in between is replaced.
  if (now === null) await place(tree, staged.path, path);
  else await tree.rename(staged.path, path);
  await flushFolders(tree, [parentOf(path) ?? ""]);
}

async function place(tree: FileTree, staged: string, path: string): Promise<void> {
  try {
    await tree.link(staged, path);
  } catch (error) {
    if (!(error instanceof FileError && error.code === "unsupported")) throw error;
    return await tree.rename(staged, path);
  }
  await tree.unlink(staged);
}
