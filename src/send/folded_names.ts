import { foldedPath, type Folding } from "../domain/plan.ts";
import { isBelow, type RelativePath } from "../domain/relative_path.ts";
import type { StatedPath } from "../store/acked.ts";

/** What a peer holds whose disk takes names for one that differ in case or Unicode form: found by the form that it sees. */
export class FoldedNames {
  readonly #folding: Folding;
  readonly #paths = new Map<string, RelativePath>();
  /** What is being made or deleted there at present. */
  readonly #underWay = new Map<string, RelativePath>();

  constructor(folding: Folding, held: Iterable<StatedPath>) {
    this.#folding = folding;
    for (const { path } of held) this.#paths.set(foldedPath(path, folding), path);
  }

  /** Another path that the peer's disk takes for `path`. */
  twinOf(path: RelativePath): RelativePath | null {
    const twin = this.#paths.get(foldedPath(path, this.#folding));
    return twin === undefined || twin === path ? null : twin;
  }

  /** Another path that the peer's disk takes for `path`, and of which it is not known yet what the peer has. */
  twinUnderWay(path: RelativePath): RelativePath | null {
    const twin = this.#underWay.get(foldedPath(path, this.#folding));
    return twin === undefined || twin === path ? null : twin;
  }

  /** Whether the peer's disk takes a path, or a folder above it, for `other`. */
  isAtOrBelow(path: RelativePath, other: RelativePath): boolean {
    const [of, at] = [foldedPath(path, this.#folding), foldedPath(other, this.#folding)];
    return of === at || isBelow(of, at);
  }

  /** An operation on a path was sent. */
  begin(path: RelativePath): void {
    this.#underWay.set(foldedPath(path, this.#folding), path);
  }

  /** The operation on a path has come to an end. */
  end(path: RelativePath): void {
    const key = foldedPath(path, this.#folding);
    if (this.#underWay.get(key) === path) this.#underWay.delete(key);
  }

  /** The peer has a path now, or has it no longer. */
  keep(path: RelativePath, there: boolean): void {
    const key = foldedPath(path, this.#folding);
    if (there) this.#paths.set(key, path);
    else if (this.#paths.get(key) === path) this.#paths.delete(key);
  }
}
