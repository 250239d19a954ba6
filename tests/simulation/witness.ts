import { foldedPath } from "../../src/domain/plan.ts";
import type { MemoryTree } from "./memory_tree.ts";
import type { TappedHeader } from "./frame_tap.ts";
import { hashOfNode } from "./contents.ts";

/** What a path may hold: the SHA-256 of a file, `folder`, or `null` for nothing. */
type Held = string | null;

interface Request {
  readonly path: string;
  readonly action: string;
  /** What the path may hold once the operation is done. */
  readonly wanted: Held;
  /** For a move: where it came from, and what was there, by its path below. */
  readonly from: string | null;
  readonly moved: Map<string, ReadonlySet<Held>>;
}

/**
 * Reads along what a machine receives and acknowledges, and so knows what it has promised: after a crash and the recovery from it
 * every path must hold what was acknowledged last, or what an operation not yet answered has made of it.
 */
export class Witness {
  readonly #held = new Map<string, Set<Held>>();
  readonly #requests = new Map<string, Request>();
  /** Paths where a user has put something in the place of what the peer had: there a deletion has nothing to do. */
  readonly #own = new Set<string>();
  /** Tells by what the machine's disk knows a path: where names fold, all its spellings are one. */
  readonly #known: (path: string) => string;

  /** @param folds Whether the machine's `synced/` takes names for one that differ in case or Unicode form. */
  constructor(folds: boolean) {
    this.#known = folds ? (path) => foldedPath(path, { case: true, unicode: true }) : (path) => path;
  }

  /** The sender has written an operation. */
  requested(header: TappedHeader): void {
    const { id, action, path, hash, kind, from } = header;
    if (typeof id !== "string" || typeof path !== "string") return;
    if (action !== "create" && action !== "update" && action !== "delete" && action !== "move") return;
    const wanted = action === "delete" ? null : kind === "folder" ? "folder" : String(hash);
    const moved = new Map<string, ReadonlySet<Held>>();
    if (action === "move" && typeof from === "string") {
      for (const [below, held] of this.#held) {
        if (below === from || below.startsWith(`${from}/`)) {
          moved.set(path + below.slice(from.length), new Set(held));
          held.add(null);
        }
      }
      for (const [to, held] of moved) for (const state of held) this.#may(to, state);
    }
    this.#may(path, wanted);
    this.#requests.set(id, { path, action, wanted, from: typeof from === "string" ? from : null, moved });
  }

  /** The receiver has written a reply. */
  answered(header: TappedHeader): void {
    const { id, status, kept } = header;
    const request = typeof id === "string" ? this.#requests.get(id) : undefined;
    if (request === undefined || status !== "ok") return;
    const { path, action, wanted, from, moved } = request;
    if (action === "move" && from !== null) {
      for (const [to, held] of moved) {
        // Where nothing was any more, because it had been moved by itself before, the move of its folder brings nothing.
        if ([...held].some((state) => state !== null)) this.#held.set(to, new Set(held));
        this.#held.set(from + to.slice(path.length), new Set([null]));
      }
    }
    if (wanted !== null) this.#own.delete(this.#known(path));
    if (kept === true || this.#own.has(this.#known(path))) this.#held.delete(path);
    else if (wanted !== "folder") this.#held.set(path, new Set([wanted]));
  }

  #may(path: string, state: Held): void {
    // Of a path of which nothing was promised, nothing is promised by an operation that was not answered.
    for (const [other, held] of this.#held) if (this.#known(other) === this.#known(path)) held.add(state);
  }

  /** A user has changed a path here: nothing of what was promised can be expected of it and what is below. */
  touched(path: string): void {
    const touched = this.#known(path);
    this.#own.add(touched);
    const concerns = (other: string) =>
      this.#known(other) === touched || this.#known(other).startsWith(`${touched}/`);
    for (const held of [...this.#held.keys()]) if (concerns(held)) this.#held.delete(held);
    for (const [id, request] of this.#requests) {
      if (concerns(request.path) || (request.from !== null && concerns(request.from))) {
        this.#requests.delete(id);
      }
      // What a user touches in a folder on its way is no promise of the move.
      const { path, from, moved } = request;
      for (const to of [...moved.keys()]) {
        if (concerns(to) || (from !== null && concerns(from + to.slice(path.length)))) moved.delete(to);
      }
    }
  }

  /** The machine has lost what it knew. */
  forget(): void {
    this.#held.clear();
  }

  /** What was promised, by what the disk knows each path: what was promised of one spelling may be kept by another. */
  #promised(): Map<string, Set<Held>> {
    const promised = new Map<string, Set<Held>>();
    for (const [path, held] of this.#held) {
      const key = this.#known(path);
      promised.set(key, new Set([...promised.get(key) ?? [], ...held]));
    }
    return promised;
  }

  /** What was promised and is not so. */
  broken(tree: MemoryTree): string[] {
    const broken: string[] = [];
    for (const [path, held] of this.#promised()) {
      const node = tree.nodeAt(path);
      const there = node === null ? null : node.kind === "folder" ? "folder" : hashOfNode(node);
      if (held.has(there)) continue;
      // A folder in the place of a file that was deleted belongs to another promise.
      if (there === "folder" && held.has(null)) continue;
      const promised = [...held].map((state) => state?.slice(0, 8) ?? "nothing").join(" or ");
      broken.push(`${path} holds ${there?.slice(0, 8) ?? "nothing"}, acknowledged was ${promised}`);
    }
    return broken;
  }
}
