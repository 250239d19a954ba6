import { type ChunkList, ChunkListBuilder, type ChunkMark, markOf } from "./chunk_list.ts";
import { cutAt, type Cutting } from "./gear.ts";
import { type Anchor, refine } from "./refine.ts";

/** A stretch of the content that a {@linkcode Differ} was given. */
export interface Run {
  /** Number of the base that has the same bytes; -1 when none has. */
  readonly base: number;
  /** Where in that base they begin. */
  readonly from: number;
  /** The bytes. Good until the next step of the iteration: the buffer is used again. */
  readonly bytes: Uint8Array;
}

/** Bytes that are taken in one go; more wait in the window. */
const ROOM_BYTES = 256 * 1024;

/** A chunk of one of the bases. */
interface Place {
  readonly base: number;
  readonly index: number;
}

/**
 * Cuts content into chunks as it comes, and tells which of them the bases have. Where one chunk of a base was found, the next one
 * is expected right after it: as long as that holds nothing is searched for cuts. Between such chunks a second, closer look is taken
 * ({@linkcode refine}).
 */
export class Differ {
  readonly #cutting: Cutting;
  readonly #bases: ChunkList[];
  readonly #list: ChunkListBuilder;
  readonly #window: Uint8Array;
  #start = 0;
  #end = 0;
  /** Bytes before `#start` that no base has and that were not given yet: what follows may tell more of them. */
  #held = 0;
  /** Where in a base what comes next would be, if it went on as before; `null` when it does not. */
  #before: Anchor | null;
  /** The chunk that is expected next; `null` when none is. */
  #expected: Place | null;
  readonly #more: (mark: ChunkMark) => ChunkList | null;

  /**
   * @param sizeBytes About what will come.
   * @param more Asked for one more base when a chunk is in none of them; they all must be cut alike.
   */
  constructor(
    cutting: Cutting,
    sizeBytes: number,
    bases: readonly ChunkList[],
    more: (mark: ChunkMark) => ChunkList | null = () => null,
  ) {
    this.#cutting = cutting;
    this.#more = more;
    this.#bases = [...bases];
    this.#expected = bases.length > 0 ? { base: 0, index: 0 } : null;
    this.#before = bases.length > 0 ? { base: 0, offset: 0 } : null;
    this.#list = new ChunkListBuilder(cutting, sizeBytes);
    this.#window = new Uint8Array(4 * cutting.maxBytes + ROOM_BYTES);
  }

  /** Takes the next bytes of the content and gives the runs that have become certain. */
  *push(bytes: Uint8Array): IterableIterator<Run> {
    for (let taken = 0; taken < bytes.length;) {
      const done = this.#start - this.#held;
      if (done > this.#cutting.maxBytes) {
        this.#window.copyWithin(0, done, this.#end);
        this.#end -= done;
        this.#start -= done;
      }
      const part = bytes.subarray(taken, taken + this.#window.length - this.#end);
      this.#window.set(part, this.#end);
      this.#end += part.length;
      taken += part.length;
      yield* this.#runs(this.#cutting.maxBytes);
    }
  }

  /** The content has ended: gives what is left of it. */
  *finish(): IterableIterator<Run> {
    yield* this.#runs(1);
    const start = this.#start - this.#held;
    this.#held = 0;
    const base = this.#before?.base;
    yield* this.#newRuns(
      start,
      this.#start,
      base === undefined ? null : { base, offset: this.#bases[base]!.sizeBytes },
    );
  }

  /** The list of the chunks of all that was given; `null` when it would be too long. */
  chunks(): Uint8Array | null {
    return this.#list.finish();
  }

  /** Cuts while there are `needed` bytes in the window; chunks that follow each other are given together. */
  *#runs(needed: number): IterableIterator<Run> {
    let runStart = this.#start - this.#held;
    this.#held = 0;
    let base = -1, from = 0;
    while (this.#end - this.#start >= needed) {
      const at = this.#start;
      const place = this.#chunk();
      const placeBase = place?.base ?? -1;
      const placeFrom = place === null ? 0 : this.#bases[place.base]!.offset(place.index);
      const follows = placeBase === base && (base < 0 || placeFrom === from + (at - runStart));
      if (follows) continue;
      const after = place === null ? null : { base: placeBase, offset: placeFrom };
      if (base < 0) yield* this.#newRuns(runStart, at, after);
      else yield this.#copied(runStart, at, base, from);
      runStart = at;
      base = placeBase;
      from = placeFrom;
    }
    if (base >= 0) {
      if (this.#start > runStart) yield this.#copied(runStart, this.#start, base, from);
      return;
    }
    // What a base may have in part waits until it is known what follows; of much that is new the end does.
    const { maxBytes } = this.#cutting;
    const isMuch = this.#start - runStart > 2 * maxBytes;
    const end = this.#bases.length === 0 ? this.#start : isMuch ? this.#start - maxBytes : runStart;
    yield* this.#newRuns(runStart, end, null);
    this.#held = this.#start - end;
  }

  #copied(start: number, end: number, base: number, from: number): Run {
    this.#before = { base, offset: from + (end - start) };
    return { base, from, bytes: this.#window.subarray(start, end) };
  }

  /** What no base has in whole chunks. */
  *#newRuns(start: number, end: number, after: Anchor | null): IterableIterator<Run> {
    if (end === start) return;
    const before = this.#before;
    const run = this.#window.subarray(start, end);
    const patienceBytes = 2 * this.#cutting.maxBytes;
    let at = 0;
    for (const { base, from, at: next, length } of refine(run, this.#bases, before, after, patienceBytes)) {
      if (next > at) yield { base: -1, from: 0, bytes: run.subarray(at, next) };
      at = next + length;
      yield { base, from, bytes: run.subarray(next, at) };
    }
    if (at < run.length) yield { base: -1, from: 0, bytes: run.subarray(at) };
    const goesOn = before !== null && run.length - at <= patienceBytes;
    this.#before = goesOn ? { base: before.base, offset: before.offset + run.length } : null;
  }

  /** Takes one chunk off the window; tells which base has it. */
  #chunk(): Place | null {
    const expected = this.#expected;
    if (expected !== null) {
      const list = this.#bases[expected.base]!;
      // The last chunk of a base ends where its file ended, not where a cut would be.
      if (expected.index < list.count - 1) {
        const end = this.#start + list.length(expected.index);
        if (end <= this.#end) {
          const mark = markOf(this.#window, this.#start, end, this.#list.parts);
          if (list.has(expected.index, mark)) return this.#take(end, mark, expected);
        }
      }
    }
    const end = cutAt(this.#window, this.#start, this.#end, this.#cutting);
    const mark = markOf(this.#window, this.#start, end, this.#list.parts);
    return this.#take(end, mark, this.#find(mark, end - this.#start));
  }

  #find(mark: ChunkMark, length: number): Place | null {
    for (const [base, list] of this.#bases.entries()) {
      const index = list.find(mark, length);
      if (index >= 0) return { base, index };
    }
    const list = this.#more(mark);
    if (list === null || this.#bases.includes(list)) return null;
    this.#bases.push(list);
    const index = list.find(mark, length);
    return index < 0 ? null : { base: this.#bases.length - 1, index };
  }

  #take(end: number, mark: ChunkMark, place: Place | null): Place | null {
    this.#list.add(end - this.#start, mark);
    this.#start = end;
    this.#expected = place === null ? null : { base: place.base, index: place.index + 1 };
    return place;
  }
}
