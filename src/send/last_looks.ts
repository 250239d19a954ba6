import type { Kind } from "../domain/observation.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";

/** When a path is looked at again that was still there when it was to be deleted: at first, and at the longest. */
const FIRST_MS = 500;
const LONGEST_MS = 60_000;

export interface LastLooksParts {
  readonly peer: number;
  readonly store: Store;
  readonly tree: FileTree;
  readonly clock: Clock;
  readonly isInFlight: (path: RelativePath) => boolean;
  /** What was still there when it was to be deleted has gone, and the observer has not seen it: nobody else would tell. */
  readonly onGone: (path: RelativePath) => void;
}

/** The last look before a deletion: nothing is deleted at the peer while it is on this disk. */
export class LastLooks {
  readonly #parts: LastLooksParts;
  /** Cancel the looks that are still to come. */
  readonly #later = new Set<() => void>();
  #stopped = false;

  constructor(parts: LastLooksParts) {
    this.#parts = parts;
  }

  /**
   * Whether a path is there. That can be when the database does not know of it: because it is ignored, or because the database is new
   * and it could not be read.
   *
   * @throws {FileError} when it cannot be looked at: then it is unknown, not gone.
   */
  async isStillThere(path: RelativePath, kind: Kind): Promise<boolean> {
    const { tree, store } = this.#parts;
    const now = await tree.lstat(path);
    if (now === null || now.kind !== kind || store.observed.get(path) !== null) return false;
    // On a disk that folds names the old name still finds a file that was renamed only in case.
    return store.observed.otherOf(now, path) === null;
  }

  /** A path was still there when it was to be deleted: looks again until it is gone, or somebody else knows of it. */
  again(path: RelativePath, delayMs = FIRST_MS): void {
    const { store, clock, peer, isInFlight, onGone } = this.#parts;
    const cancel = clock.after(delayMs, async () => {
      this.#later.delete(cancel);
      if (this.#stopped || store.observed.get(path) !== null) return;
      const kind = store.acked.get(peer, path)?.kind;
      if (kind === undefined || isInFlight(path)) return;
      const nextMs = Math.min(delayMs * 2, LONGEST_MS);
      try {
        if (await this.isStillThere(path, kind)) return this.again(path, nextMs);
      } catch (error) {
        if (!(error instanceof FileError)) throw error;
        return this.again(path, nextMs); // unknown, not gone
      }
      if (!this.#stopped) onGone(path);
    });
    this.#later.add(cancel);
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#later) cancel();
  }
}
