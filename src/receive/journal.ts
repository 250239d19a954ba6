import type { EventSink } from "../domain/events.ts";
import { messageOf } from "../domain/mirror_error.ts";
import {
  type Clock,
  FileError,
  type FileErrorCode,
  type FileTree,
  type WriteHandle,
} from "../domain/ports.ts";
import { isBelow, type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";
import { inParallel } from "./in_parallel.ts";
import { encodeLumpHead, type JournalEntry } from "./journal_format.ts";
import type { Staging } from "./staging.ts";

/** A journal that has grown to this is not written on. */
const FULL_BYTES = 64 * 1024 * 1024;
const FULL_FILES = 20_000;
/** Journals whose files are not flushed yet; with more, files are flushed one by one before they are put in place. */
const MAX_JOURNALS = 3;
/** Contents are joined to writes of this size. */
const WRITE_BYTES = 256 * 1024;
/** How long after the last group the files are flushed, and the longest that they wait while more comes. */
const REST_MS = 1_000;
const LONGEST_MS = 10_000;
/** After a flush that failed. */
const AGAIN_MS = 30_000;
/** Flushes under way at once: few, as they go on beside whatever else is done. */
const PARALLEL_FLUSHES = 8;

/** One journal of this process. */
interface Opened {
  readonly name: string;
  readonly path: string;
  readonly handle: WriteHandle;
  /** The files whose contents it holds and that are not known to be durable by themselves. */
  readonly files: Set<RelativePath>;
  /** Their versions. */
  readonly versions: Set<string>;
  end: number;
  /** The last flush that was begun; rejects when one before it did. */
  flushing: Promise<void>;
  /** Groups that were written to it and are not committed yet. */
  underWay: number;
}

/** The contents of one group in a journal. */
export interface Lump {
  /** Resolves when the lump is durable. */
  readonly flush: () => Promise<void>;
  /** Records that its operations have their rows; to be called in the transaction that writes these. */
  readonly record: () => void;
  /** The group has come to its end, whichever. */
  readonly release: () => void;
}

/**
 * Makes many small files durable with one flush: before they are put in place their contents are written one after the other to
 * a file in the staging folder. The files themselves are flushed later, when nothing else is to be done; then the journal goes.
 * After a crash {@linkcode replayJournals} looks whether they are what they should be.
 */
export class Journal {
  readonly #tree: FileTree;
  readonly #store: Store;
  readonly #staging: Staging;
  readonly #clock: Clock;
  readonly #onEvent: EventSink;
  /** Whether operations are being committed: flushing can wait. */
  readonly #busy: () => boolean;
  readonly #onSettled: () => void;
  #open: Opened | null = null;
  readonly #full: Opened[] = [];
  #joined: Uint8Array<ArrayBuffer> | null = null;
  #settling: Promise<void> | null = null;
  #restsSinceMs: number | null = null;
  #quietSinceMs = 0;
  #cancelRest: () => void = () => {};
  /** What was told last of files that cannot be flushed: once is enough. */
  #told = "";

  constructor(
    parts: {
      tree: FileTree;
      store: Store;
      staging: Staging;
      clock: Clock;
      onEvent: EventSink;
      busy: () => boolean;
      /** A journal has gone from the staging folder. */
      onSettled: () => void;
    },
  ) {
    this.#tree = parts.tree;
    this.#store = parts.store;
    this.#staging = parts.staging;
    this.#clock = parts.clock;
    this.#onEvent = parts.onEvent;
    this.#busy = parts.busy;
    this.#onSettled = parts.onSettled;
  }

  /**
   * Writes the contents of a group behind those that are there; nothing is durable before {@linkcode Lump.flush}.
   *
   * @returns `null` when too much is not flushed yet.
   * @throws {FileError} when they cannot be written, for want of room for instance; nothing of them stays in the journal then.
   */
  async append(entries: readonly JournalEntry[], contents: readonly Uint8Array[]): Promise<Lump | null> {
    const open = this.#open ?? await this.#begin();
    if (open === null) return null;
    const head = encodeLumpHead(entries);
    try {
      await this.#write(open.handle, [head, ...contents]);
    } catch (error) {
      this.#takeBack(open);
      throw error;
    }
    open.end += contents.reduce((sum, content) => sum + content.length, head.length);
    open.underWay++;
    for (const { path, state } of entries) {
      open.files.add(path);
      open.versions.add(versionOf(path, state.hash));
    }
    const { name, end } = open;
    if (end >= FULL_BYTES || open.files.size >= FULL_FILES) this.#close(open);
    return {
      flush: () => this.#flush(open),
      record: () => this.#store.journals.setCommitted(name, end),
      release: () => open.underWay--,
    };
  }

  /** Whether a version that was put in place is not known to be durable without a journal. */
  holds(path: string, hash: string): boolean {
    const version = versionOf(path, hash);
    return this.#open?.versions.has(version) === true ||
      this.#full.some(({ versions }) => versions.has(version));
  }

  /** Operations have been committed: flushes the files when no more have been for a moment. */
  rest(): void {
    if (this.#open === null && this.#full.length === 0) return;
    this.#quietSinceMs = this.#clock.monotonic();
    if (this.#restsSinceMs !== null) return;
    this.#restsSinceMs = this.#quietSinceMs;
    this.#restFor(REST_MS);
  }

  /** Flushes every file of every journal now. What cannot be flushed keeps its journal. */
  async close(): Promise<void> {
    this.#cancelRest();
    await this.#settling;
    await this.#settle();
    this.#cancelRest();
  }

  /** Whether a file, or one in a folder, still depends on a journal, which knows it by this path only. */
  standsFor(path: RelativePath): boolean {
    return [this.#open, ...this.#full].some((journal) =>
      journal !== null && [...journal.files].some((file) => file === path || isBelow(file, path))
    );
  }

  #restFor(ms: number): void {
    this.#cancelRest = this.#clock.after(ms, () => {
      const now = this.#clock.monotonic();
      const quiet = this.#busy() ? 0 : now - this.#quietSinceMs;
      const waited = now - (this.#restsSinceMs ?? 0);
      if (quiet < REST_MS && waited < LONGEST_MS) this.#restFor(REST_MS - quiet);
      else void this.#settle();
    });
  }

  async #begin(): Promise<Opened | null> {
    if (this.#full.length >= MAX_JOURNALS) return null;
    const path = this.#staging.journalPath();
    const name = path.slice(STAGING_FOLDER.length + 1);
    this.#store.journals.add(name);
    try {
      const { handle } = await this.#staging.create(path);
      // Its name has to be durable too, and that of the folder, before anything is said to be.
      await this.#tree.flushFolder(STAGING_FOLDER);
      await this.#tree.flushFolder("");
      return this.#open = {
        name,
        path,
        handle,
        files: new Set(),
        versions: new Set(),
        end: 0,
        flushing: Promise.resolve(),
        underWay: 0,
      };
    } catch (error) {
      this.#store.journals.remove(name);
      throw error;
    }
  }

  /** A lump is of use only if all before it are whole, so it has failed when one of them has. */
  #flush(open: Opened): Promise<void> {
    const before = open.flushing;
    open.flushing = Promise.all([open.handle.flush(), before]).then(() => {}, (error) => {
      if (this.#open === open) this.#close(open);
      throw error;
    });
    return open.flushing;
  }

  async #write(handle: WriteHandle, parts: readonly Uint8Array[]): Promise<void> {
    const joined = this.#joined ??= new Uint8Array(WRITE_BYTES);
    let filled = 0;
    for (const part of parts) {
      for (let done = 0; done < part.length;) {
        const some = part.subarray(done, done + joined.length - filled);
        joined.set(some, filled);
        filled += some.length;
        done += some.length;
        if (filled < joined.length) continue;
        await handle.write(joined);
        filled = 0;
      }
    }
    if (filled > 0) await handle.write(joined.subarray(0, filled));
  }

  /** A lump was written in part: the next one must not follow that. */
  #takeBack(open: Opened): void {
    try {
      open.handle.cutTo(open.end);
    } catch {
      // What follows is written to another one; readers stop at what is not whole.
      this.#close(open);
    }
  }

  #close(open: Opened): void {
    this.#open = null;
    this.#joined = null;
    this.#full.push(open);
    if (this.#settling === null && this.#full.length > 1) void this.#settle();
  }

  /** Flushes the files of all journals that nothing is being written to, and removes these. Never rejects. */
  #settle(): Promise<void> {
    this.#restsSinceMs = null;
    this.#settling ??= this.#settleAll().finally(() => this.#settling = null);
    return this.#settling;
  }

  async #settleAll(): Promise<void> {
    if (this.#open?.underWay === 0) this.#close(this.#open);
    let refusal: string | null = null;
    for (const journal of this.#full.filter(({ underWay }) => underWay === 0)) {
      try {
        await inParallel(PARALLEL_FLUSHES, [...journal.files], async (path) => {
          const refused = await this.#flushFile(path);
          if (refused === null) journal.files.delete(path);
          else refusal = refused.message;
        });
        if (journal.files.size === 0) await this.#remove(journal);
      } catch (error) {
        refusal = messageOf(error);
      }
    }
    if (refusal === null) {
      this.#told = "";
      // Whatever was under way meanwhile.
      return this.rest();
    }
    this.#tell(`what was received could not be flushed yet, and stays in the journal: ${refusal}`);
    this.#restsSinceMs = this.#clock.monotonic();
    this.#restFor(AGAIN_MS);
  }

  #tell(message: string): void {
    if (message === this.#told) return;
    this.#told = message;
    this.#onEvent({ kind: "problem", level: "warning", message });
  }

  /** @returns Why it is not certain that the file is durable. */
  async #flushFile(path: string): Promise<FileError | null> {
    try {
      await this.#tree.flushFile(path);
      return null;
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      // Something else is there now, or nothing: that is no longer the file that this journal stands for.
      return GONE.has(error.code) ? null : error;
    }
  }

  async #remove(journal: Opened): Promise<void> {
    // The row first: without it the file means nothing, whenever it goes.
    this.#store.journals.remove(journal.name);
    this.#full.splice(this.#full.indexOf(journal), 1);
    journal.handle.close();
    try {
      await this.#tree.unlink(journal.path);
    } catch (error) {
      if (!(error instanceof FileError && error.code === "not_found")) throw error;
    }
    this.#onSettled();
  }
}

function versionOf(path: string, hash: string): string {
  return `${hash} ${path}`;
}

/** Not `denied`: whom the file is closed to cannot know that the system has written it. */
const GONE: ReadonlySet<FileErrorCode> = new Set([
  "not_found",
  "not_folder",
  "is_folder",
  "symlink",
  "unsupported",
]);
