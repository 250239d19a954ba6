import type { RelativePath } from "../domain/relative_path.ts";
import type { Pending } from "../store/pending.ts";
import type { Store } from "../store/store.ts";

/** Rows that are read from the table at once. */
const PAGE = 500;

/** One way through the table. */
interface Lane {
  /** Rows after `cursor`, in the lane's order. */
  readonly read: (nowMs: number, cursor: RelativePath | null) => Pending[];
  page: Pending[];
  cursor: RelativePath | null;
  ended: boolean;
}

/**
 * Walks through what is due in `pending` without holding it: small files and folders with parents before children, large files,
 * then deletions with children before parents. What a pass leaves behind is found by the next one, after {@linkcode restart}.
 */
export class Backlog {
  readonly #small: Lane;
  readonly #large: Lane;
  readonly #deletions: Lane;
  #skipped = false;

  constructor(store: Store, peer: number, smallBytes: number) {
    const lane = (read: Lane["read"]): Lane => ({ read, page: [], cursor: null, ended: false });
    const { pending } = store;
    this.#small = lane((now, cursor) => pending.upserts(peer, now, cursor ?? "", false, smallBytes, PAGE));
    this.#large = lane((now, cursor) => pending.upserts(peer, now, cursor ?? "", true, smallBytes, PAGE));
    this.#deletions = lane((now, cursor) => pending.deletions(peer, now, cursor, PAGE));
  }

  /** Whether this pass has left rows behind that might not go yet. */
  get hasSkipped(): boolean {
    return this.#skipped;
  }

  /** Begins a new pass: rows have come, or have become due, that the present one may have passed by. */
  restart(): void {
    this.#skipped = false;
    for (const lane of [this.#small, this.#large, this.#deletions]) {
      lane.page = [];
      lane.cursor = null;
      lane.ended = false;
    }
  }

  /**
   * The next row that may go; `null` when the pass has ended.
   *
   * @param large Whether there is room for a large file.
   * @param deletions Whether deletions may go at all; if not, they are not even read.
   */
  next(
    nowMs: number,
    large: boolean,
    deletions: boolean,
    mayGo: (row: Pending) => boolean,
  ): Pending | null {
    return this.#from(this.#small, nowMs, mayGo) ?? (large ? this.#from(this.#large, nowMs, mayGo) : null) ??
      (deletions ? this.#from(this.#deletions, nowMs, mayGo) : null);
  }

  #from(lane: Lane, nowMs: number, mayGo: (row: Pending) => boolean): Pending | null {
    for (;;) {
      const row = lane.page.shift();
      if (row !== undefined) {
        lane.cursor = row.path;
        if (mayGo(row)) return row;
        this.#skipped = true;
        continue;
      }
      if (lane.ended) return null;
      lane.page = lane.read(nowMs, lane.cursor);
      if (lane.page.length === 0) {
        lane.ended = true;
        return null;
      }
    }
  }
}
