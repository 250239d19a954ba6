import type { RelativePath } from "../domain/relative_path.ts";
import { ancestorsOf, isBelow } from "../domain/relative_path.ts";
import type { Action } from "../domain/header.ts";
import type { Observation } from "../domain/observation.ts";
import type { Pending } from "../store/pending.ts";
import type { Store } from "../store/store.ts";
import { Backlog } from "./backlog.ts";
import { SMALL_BYTES } from "./deliver_file.ts";

/** So many paths noted at once are a backlog: the table has them all. */
const MAX_FRESH = 20_000;
/** What is seen so soon after a deletion was done with it. */
const TOGETHER_MS = 2_000;

/** An operation on its way. */
export interface InFlight {
  readonly action: Action;
  readonly large: boolean;
}

/** What may go next: a row of `pending`, or as much of one as is needed. */
export type Ready =
  & Pick<
    Pending,
    "path" | "action" | "kind" | "sizeBytes" | "attempts" | "movedTo" | "movedFrom"
  >
  /** What was just observed at a path where the peer has nothing, so that the database need not be asked. */
  & { readonly created?: Observation };

/**
 * In which order the rows of `pending` go: what was just noted first, then the backlog; parents before children, deletions of
 * children before those of their folders; what waits for another path's operation not before that is settled.
 */
export class Order {
  readonly #store: Store;
  readonly #peer: number;
  readonly #inFlight: ReadonlyMap<RelativePath, InFlight>;
  readonly #backlog: Backlog;
  /** Upserts and deletions that were just noted: they overtake the backlog. */
  readonly #fresh = new Set<RelativePath>();
  /** Of the fresh paths those at which the peer has nothing, with what was observed. */
  readonly #creations = new Map<RelativePath, Observation>();
  /** Operations that wait until another path's operation is settled. */
  readonly #after = new Map<RelativePath, RelativePath[]>();
  /** The paths that wait so; what lies below them waits too. */
  readonly #blocked = new Set<RelativePath>();
  /** Paths that are being moved, the old ones and the new ones: nothing at or below them goes. */
  readonly #held = new Set<RelativePath>();

  /** Of this turn: since when the first large file waits that was never answered; `Infinity` when none does, `null`: not asked yet. */
  #firstUpsertMs: number | null = null;

  readonly #mayDelete: () => boolean;

  /** @param mayDelete Whether deletions may go; whoever said no begins a new pass when they may. */
  constructor(
    store: Store,
    peer: number,
    inFlight: ReadonlyMap<RelativePath, InFlight>,
    mayDelete: () => boolean,
  ) {
    this.#mayDelete = mayDelete;
    this.#store = store;
    this.#peer = peer;
    this.#inFlight = inFlight;
    this.#backlog = new Backlog(store, peer, SMALL_BYTES);
  }

  /** Whether something was noted that was not tried yet. */
  get hasFresh(): boolean {
    return this.#fresh.size > 0;
  }

  /** Whether this pass has left rows behind that might not go yet. */
  get hasSkipped(): boolean {
    return this.#backlog.hasSkipped;
  }

  /** Some paths have a new state, or may go again. */
  note(paths: Iterable<RelativePath>, creations: ReadonlyMap<RelativePath, Observation> = NONE): void {
    for (const path of paths) {
      this.#fresh.add(path);
      const created = creations.get(path);
      if (created === undefined) this.#creations.delete(path);
      else this.#creations.set(path, created);
    }
    if (this.#fresh.size <= MAX_FRESH) return;
    this.#fresh.clear();
    this.restart();
  }

  /** Begins a new pass: rows have come, or have become due, that the present one may have passed by. */
  restart(): void {
    this.#creations.clear();
    this.#backlog.restart();
  }

  /** The peer's state of a path may be another one now: what was known of it is asked anew. */
  forget(path: RelativePath): void {
    this.#creations.delete(path);
  }

  /** `path`, and what is below it, waits until the operation on `other` is settled. */
  block(path: RelativePath, other: RelativePath): void {
    this.#blocked.add(path);
    this.#after.set(other, [...this.#after.get(other) ?? [], path]);
  }

  /** Nothing at or below these paths goes, deletions neither, until they are freed. */
  hold(...paths: RelativePath[]): void {
    for (const path of paths) this.#held.add(path);
  }

  /** The opposite of {@linkcode hold}. */
  free(...paths: RelativePath[]): void {
    for (const path of paths) this.#held.delete(path);
    this.#backlog.restart();
  }

  /** The link is gone, and with it every move. */
  freeAll(): void {
    this.#held.clear();
  }

  /** The paths that wait for the operation on `path`. */
  waitingFor(path: RelativePath): readonly RelativePath[] {
    return this.#after.get(path) ?? [];
  }

  /** Nobody waits for a path any more. */
  unblock(path: RelativePath): void {
    for (const waiting of this.waitingFor(path)) this.#blocked.delete(waiting);
    this.#after.delete(path);
  }

  /**
   * The rows that may go, one after the other; what was given out counts as on its way at once. `null` when there is none now.
   * To be used up in one turn, as it remembers which folders are there.
   *
   * @param largeFits Whether there is room for one more large file.
   */
  turn(nowMs: number, largeFits: () => boolean): () => Ready | null {
    this.#firstUpsertMs = null;
    const made = new Set<RelativePath>();
    const fresh = this.#fresh.values();
    return () => this.#nextFresh(fresh, nowMs, largeFits(), made) ?? this.#nextOfBacklog(nowMs, largeFits());
  }

  #nextFresh(
    fresh: Iterator<RelativePath>,
    nowMs: number,
    largeFits: boolean,
    made: Set<RelativePath>,
  ): Ready | null {
    for (let next = fresh.next(); next.done !== true; next = fresh.next()) {
      const path = next.value;
      this.#fresh.delete(path);
      const row = this.#rowOf(path, nowMs);
      if (row === null || this.#inFlight.has(path)) continue;
      // Folders go when what was in them is gone, and large files when there is room: the backlog knows their order.
      const later = row.action === "delete"
        ? row.kind === "folder"
        : row.sizeBytes > SMALL_BYTES && !largeFits;
      if (later || !this.#mayGo(row)) {
        // Deletions that may not go are all looked at again when they may.
        if (row.action !== "delete" || this.#mayDelete()) this.#backlog.restart();
        continue;
      }
      const parent = row.action === "delete" ? null : this.#parentToMake(row.path, nowMs, made);
      if (parent === null) return row;
      this.#fresh.add(path);
      return parent;
    }
    return null;
  }

  /** The row of a fresh path, if it is due. */
  #rowOf(path: RelativePath, nowMs: number): Ready | null {
    const created = this.#creations.get(path);
    if (created !== undefined) {
      this.#creations.delete(path);
      const { kind, sizeBytes } = created;
      return {
        path,
        action: "create",
        kind,
        sizeBytes,
        attempts: 0,
        movedTo: null,
        movedFrom: null,
        created,
      };
    }
    const row = this.#store.pending.get(this.#peer, path);
    return row !== null && isDue(row, nowMs) ? row : null;
  }

  #nextOfBacklog(nowMs: number, largeFits: boolean): Pending | null {
    return this.#backlog.next(
      nowMs,
      largeFits,
      this.#mayDelete(),
      (row) => !this.#inFlight.has(row.path) && this.#mayGo(row),
    );
  }

  /** The topmost folder above a path that is still to be made. */
  #parentToMake(path: RelativePath, nowMs: number, made: Set<RelativePath>): Pending | null {
    for (const folder of ancestorsOf(path)) {
      if (made.has(folder) || this.#inFlight.has(folder)) continue;
      const row = this.#store.pending.get(this.#peer, folder);
      if (row !== null && row.action !== "delete" && isDue(row, nowMs)) return row;
      made.add(folder);
    }
    return null;
  }

  /** Whether a row's time has come as far as other paths are concerned. */
  #mayGo(row: Ready): boolean {
    if (this.#held.size > 0 && [...ancestorsOf(row.path), row.path].some((path) => this.#held.has(path))) {
      return false;
    }
    if (row.action !== "delete") {
      if (this.#blocked.size === 0) return true;
      return ![...ancestorsOf(row.path), row.path].some((path) => this.#blocked.has(path));
    }
    if (!this.#mayDelete()) return false;
    // The file lives on under another name: the old copy stays until the peer has the new one.
    if (row.movedTo !== null && this.#isComing(row.movedTo)) return false;
    if (row.kind === "file") return !this.#isWanted(row.path);
    for (const { path } of this.#store.acked.below(this.#peer, row.path)) {
      if (this.#inFlight.get(path)?.action !== "delete") return false;
    }
    return this.arrivingBelow(row.path) === null;
  }

  /**
   * Whether the content of a large file that is to be deleted may be what another one is made of that is on its way, or about to be: a
   * new version under another name, say. Only one that came before the deletion or with it: others may come without end. And only until
   * it was answered: it may have found no room because of what is to be deleted.
   */
  #isWanted(path: RelativePath): boolean {
    if ((this.#store.acked.get(this.#peer, path)?.sizeBytes ?? 0) <= SMALL_BYTES) return false;
    // Asked once a turn: there may be very many rows, and very many deletions.
    this.#firstUpsertMs ??= this.#store.pending.firstUpsertMs(this.#peer, SMALL_BYTES) ?? Infinity;
    if (this.#firstUpsertMs === Infinity) return false;
    const sinceMs = this.#store.pending.get(this.#peer, path)?.sinceMs;
    return sinceMs !== undefined && this.#firstUpsertMs <= sinceMs + TOGETHER_MS;
  }

  /**
   * What is still on its way into a folder. It is not acknowledged yet: the peer will have it, and it must be deleted before the
   * folder is; if it came after that, the peer would make the folder again for it.
   */
  arrivingBelow(folder: RelativePath): RelativePath | null {
    for (const [path, { action }] of this.#inFlight) {
      if (action !== "delete" && isBelow(path, folder)) return path;
    }
    return null;
  }

  /**
   * Whether a path waits to be sent. What is deleted there too will never come: it may be the folder that waits for the deletion
   * that asks. What is in a folder that was refused may be waiting for that deletion as well.
   */
  #isComing(path: RelativePath): boolean {
    const rowAt = (path: RelativePath) => this.#store.pending.get(this.#peer, path);
    const row = rowAt(path);
    return row?.state === "waiting" && row.action !== "delete" &&
      ancestorsOf(path).every((folder) => rowAt(folder)?.state !== "refused");
  }
}

const NONE: ReadonlyMap<RelativePath, Observation> = new Map();

function isDue(row: Pending, nowMs: number): boolean {
  return row.state === "waiting" && row.nextAttemptMs <= nowMs;
}
