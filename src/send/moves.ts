import type { Observation } from "../domain/observation.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import { isBelow, type RelativePath } from "../domain/relative_path.ts";
import type { Link } from "../link/link.ts";
import type { Store } from "../store/store.ts";
import type { InFlight } from "./order.ts";
import { confirmVersion, hashOpen, openObserved } from "./read_version.ts";

/** How long a path that was moved waits for the observer to say that nothing is at the old place any more. */
const PATIENCE_MS = 2_000;
const LOOK_AGAIN_MS = 5;
/** Paths of a folder that are compared, to tell a folder that was moved from another one that got its inode. */
const SAMPLE = 50;

/** Finds out whether something new in `watched/` is what the peer holds under another path, so that the peer only has to rename it. */
export class Moves {
  readonly #peer: number;
  readonly #store: Store;
  readonly #tree: FileTree;
  readonly #clock: Clock;
  readonly #inFlight: ReadonlyMap<RelativePath, InFlight>;

  constructor(
    parts: { readonly store: Store; readonly tree: FileTree; readonly clock: Clock },
    peer: number,
    inFlight: ReadonlyMap<RelativePath, InFlight>,
  ) {
    this.#store = parts.store;
    this.#tree = parts.tree;
    this.#clock = parts.clock;
    this.#peer = peer;
    this.#inFlight = inFlight;
  }

  /** Whether it could be a move at all; costs no more than a look into the database. */
  isPossible(link: Link, path: RelativePath, from: RelativePath): boolean {
    const folding = link.hello?.folding;
    return link.has("moves") && folding !== undefined && !folding.case && !folding.unicode &&
      !isBelow(path, from) && !isBelow(from, path) && this.#store.acked.get(this.#peer, from) !== null;
  }

  /**
   * Waits until it is certain what became of the old path.
   *
   * @returns The SHA-256 of the file that was moved (`""` for a folder); `null` when it was not moved, or is another one.
   * @throws what reading the file throws.
   */
  async whatMoved(link: Link, observed: Observation, from: RelativePath): Promise<string | null> {
    const { path, kind } = observed;
    const acked = await this.#leftBehind(link, path, from);
    if (acked === null || acked.kind !== kind) return null;
    if (kind === "folder") return this.#holdsTheSame(path, from) ? "" : null;
    if (acked.sizeBytes !== observed.sizeBytes) return null;
    const hash = observed.hash !== null && !observed.provisional ? observed.hash : await this.#hash(observed);
    return hash === acked.hash ? hash : null;
  }

  /** What the peer holds at `from`, once nothing is there any more, nor on its way to it. */
  async #leftBehind(link: Link, path: RelativePath, from: RelativePath) {
    const { acked, observed } = this.#store;
    for (
      const end = this.#clock.monotonic() + PATIENCE_MS;
      this.#clock.monotonic() < end && !link.isClosed;
    ) {
      const held = acked.get(this.#peer, from);
      if (held === null) return null;
      const busy = [...this.#inFlight.keys()].some((each) =>
        each !== path && (each === from || isBelow(each, from) || isBelow(each, path))
      );
      const row = observed.get(from);
      if (!busy && row === null) return held;
      // Both are there: a second name for the same file, or something that got an old inode.
      if (row !== null && !await this.#isGone(row.diskPath)) return null;
      await new Promise<void>((resolve) => this.#clock.after(LOOK_AGAIN_MS, resolve));
    }
    return null;
  }

  /** Whether nothing is at a path. Where nobody lets us look it may be there still, and then nothing was moved. */
  async #isGone(diskPath: string): Promise<boolean> {
    try {
      return await this.#tree.lstat(diskPath) === null;
    } catch (error) {
      if (error instanceof FileError) return false;
      throw error;
    }
  }

  /** Whether most of what the peer has in the folder `from` is seen in `path` now. What differs is brought in line afterwards. */
  #holdsTheSame(path: RelativePath, from: RelativePath): boolean {
    const { acked, observed } = this.#store;
    const below = acked.below(this.#peer, from, SAMPLE);
    const same = below.filter(({ path: old, state }) => {
      const now = observed.get(path + old.slice(from.length) as RelativePath);
      return now !== null && now.kind === state.kind &&
        (state.kind === "folder" || (now.sizeBytes === state.sizeBytes && now.mtimeMs === state.mtimeMs));
    });
    return same.length > 0 && same.length * 2 >= below.length;
  }

  async #hash(observed: Observation): Promise<string> {
    const { file, stat } = await openObserved(this.#tree, observed, false);
    try {
      const hash = await hashOpen(file, stat, observed, this.#clock);
      await confirmVersion(file, stat, hash, observed, false, this.#clock);
      return hash;
    } finally {
      file.close();
    }
  }
}
