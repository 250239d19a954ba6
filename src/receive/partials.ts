import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import { nameOf, type RelativePath } from "../domain/relative_path.ts";
import type { Partial } from "../store/partials.ts";
import type { Store } from "../store/store.ts";

/** Beginnings that are kept for their rest to come. */
const MAX_COUNT = 8;
const MAX_AGE_MS = 7 * 24 * 3600 * 1000;
/** Room that is left on the disk for the database and for everybody else: with less no beginning is kept. */
export const SPARE_BYTES = 16 * 1024 * 1024;
/** With less free than this only the latest is. */
const MIN_FREE_BYTES = 64 * 1024 * 1024;

export interface PartialsParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
}

/**
 * The beginnings of large files that wait in the staging folder for their rest: which of them a transfer can go on with, and
 * which are not worth their room any more. What a transfer has open is in use, and left alone.
 */
export class Partials {
  readonly #parts: PartialsParts;
  /** Staged files that a transfer, or the commit after it, has in its hands. */
  readonly #inUse = new Set<string>();
  /** Staged files whose path has another one now: they go as soon as nobody has them in use. */
  readonly #replaced = new Set<string>();
  readonly #endings = new Set<Promise<unknown>>();

  constructor(parts: PartialsParts) {
    this.#parts = parts;
  }

  /** A transfer is coming to its end: whoever looks for a beginning waits for it. */
  ending<T>(work: Promise<T>): Promise<T> {
    const done: Promise<unknown> = work.catch(() => {}).finally(() => this.#endings.delete(done));
    this.#endings.add(done);
    return work;
  }

  /**
   * The beginning that a new transfer of `path` may go on with: that of the path itself, or one of the same size or name, as the
   * file may have been moved since. Whether it fits is for the sender to say. It is in use from now on.
   */
  async take(peer: number, path: RelativePath, sizeBytes: number): Promise<Partial | null> {
    await Promise.all(this.#endings);
    const found = this.find(peer, path, sizeBytes);
    if (found !== null) this.#inUse.add(found.staged);
    return found;
  }

  /** The beginning that {@linkcode take} would give, without taking it. */
  find(peer: number, path: RelativePath, sizeBytes: number): Partial | null {
    const free = this.#parts.store.partials.list()
      .filter((partial) => partial.peer === peer && !this.#inUse.has(partial.staged));
    return free.find((partial) => partial.path === path) ??
      free.find((partial) => partial.sizeBytes === sizeBytes) ??
      free.find((partial) => nameOf(partial.path) === nameOf(path)) ?? null;
  }

  /** A transfer has made a staged file. */
  hold(staged: string): void {
    this.#inUse.add(staged);
  }

  /** A transfer has let go of a staged file. */
  async release(staged: string): Promise<void> {
    this.#inUse.delete(staged);
    if (this.#replaced.delete(staged)) await this.#unlink(staged);
  }

  /** Lets go of a beginning that a transfer was built on, which has come to its end. */
  async forget(staged: string): Promise<void> {
    this.#parts.store.partials.removeStaged(staged);
    if (this.#inUse.has(staged)) this.#replaced.add(staged);
    else await this.#unlink(staged);
  }

  /** Writes down how much of a file is here. The same staged file has no other path then. */
  note(partial: Partial): void {
    const { store } = this.#parts;
    const before = store.partials.get(partial.peer, partial.path);
    this.#replaced.delete(partial.staged);
    // Only a hint: what it says is read and checked again before anything is built on it.
    store.relaxedTransaction(() => {
      store.partials.removeStaged(partial.staged);
      store.partials.put(partial);
    });
    if (before === null || before.staged === partial.staged) return;
    // A transfer of another path had it in use when this one looked for a beginning, as it may have been that of its own file.
    if (this.#inUse.has(before.staged)) this.#replaced.add(before.staged);
    else void this.ending(this.#unlink(before.staged));
  }

  /** The peer has deleted a path: what had come of it is freed. */
  async deleted(peer: number, path: RelativePath): Promise<void> {
    await Promise.all(this.#endings);
    const partial = this.#parts.store.partials.get(peer, path);
    if (partial !== null) await this.drop(partial);
  }

  /** The peer has nothing more to send: nothing that it had begun is going to be continued. */
  async completed(peer: number): Promise<void> {
    await Promise.all(this.#endings);
    for (const partial of this.#parts.store.partials.list()) {
      if (partial.peer === peer) await this.drop(partial);
    }
  }

  /**
   * Lets go of what is too old, too much, or in the way on a disk that fills: the latest one stays while there is any room (what needs
   * it gets it all the same), the others as long as all together take no more than what is free.
   */
  async sweep(): Promise<void> {
    const { store, tree, clock } = this.#parts;
    const partials = store.partials.list();
    if (partials.length === 0) return;
    const freeBytes = await tree.freeBytes() ?? Infinity;
    let count = 0, bytes = 0;
    for (const partial of partials) {
      const withIt = bytes + partial.verifiedBytes;
      const fits = count === 0
        ? freeBytes >= SPARE_BYTES
        : freeBytes >= MIN_FREE_BYTES && withIt <= freeBytes;
      const isYoung = clock.now() - partial.updatedMs < MAX_AGE_MS;
      if (count < MAX_COUNT && fits && isYoung) {
        count++;
        bytes = withIt;
      } else await this.drop(partial);
    }
  }

  /**
   * Frees at least `bytes`, the oldest beginnings first; none if all of them are not enough.
   *
   * @param spared The staged file of one that stays, as the file that needs the room goes on with it.
   */
  async makeRoom(bytes: number, spared: string | null): Promise<void> {
    const others = this.#parts.store.partials.list()
      .filter(({ staged }) => staged !== spared && !this.#inUse.has(staged));
    let freed = 0;
    if (others.reduce((sum, { verifiedBytes }) => sum + verifiedBytes, 0) < bytes) return;
    for (const partial of others.reverse()) {
      if (freed >= bytes) return;
      if (await this.drop(partial)) freed += partial.verifiedBytes;
    }
  }

  /**
   * Lets go of a beginning that nobody has in use.
   *
   * @returns Whether it is gone.
   */
  async drop({ peer, path, staged }: Partial): Promise<boolean> {
    if (this.#inUse.has(staged)) return false;
    const { store } = this.#parts;
    store.relaxedTransaction(() => store.partials.remove(peer, path));
    await this.#unlink(staged);
    return true;
  }

  async #unlink(staged: string): Promise<void> {
    try {
      await this.#parts.tree.unlink(staged);
    } catch (error) {
      // Without its row it is swept at the next start.
      if (!(error instanceof FileError)) throw error;
    }
  }
}
