import { type PathState, UNKNOWN_FILE } from "../domain/observation.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";
import { replanPath } from "./pending_plan.ts";

/**
 * What is on its way to a peer whose tree cannot be compared. If an answer is lost, nothing will tell what became of the operation, and
 * what has to be sent must not depend on that: so before a file goes out it is written down that the peer may have anything.
 */
export class Uncertain {
  readonly #store: Store;
  readonly #peer: number;
  /** What the peer had of these files before (`null`: nothing); meanwhile `acked` says that nobody knows. */
  readonly #had = new Map<RelativePath, PathState | null>();

  constructor(store: Store, peer: number) {
    this.#store = store;
    this.#peer = peer;
  }

  /** An operation of a file is about to go out. */
  begin(path: RelativePath, nowMs: number): void {
    const { acked } = this.#store;
    const had = acked.get(this.#peer, path);
    this.#store.transaction(() => acked.put(this.#peer, path, UNKNOWN_FILE, nowMs));
    this.#had.set(path, had);
  }

  /** An answer has come: up to it the peer has had what it had before. To be called in a transaction. */
  answered(path: RelativePath, nowMs: number): void {
    const had = this.#had.get(path);
    if (had === undefined) return;
    if (had === null) this.#store.acked.remove(this.#peer, path);
    else this.#store.acked.put(this.#peer, path, had);
    replanPath(this.#store, this.#peer, path, nowMs);
  }

  /** The operation is over, with an answer or without. */
  end(path: RelativePath): void {
    this.#had.delete(path);
  }
}
