import type { EventSink } from "../domain/events.ts";
import type { Clock } from "../domain/ports.ts";
import { ancestorsOf, type RelativePath } from "../domain/relative_path.ts";
import { localNote } from "../store/log.ts";
import type { SkipReason } from "../store/skipped.ts";
import type { Store } from "../store/store.ts";
import { type Change, nextObservation, type Sighting, withKnownHash } from "./sighting.ts";

/** The key in the table `facts` under which the device of the root is kept: the root has no row in `observed`. */
const WATCHED_DEVICE = "watched_device";

/** Called inside the transaction that wrote the rows, and only when something changed. */
export type ChangesSink = (changes: readonly Change[]) => void;

/**
 * Where looks write what they found. Several looks can be under way at a time (a long scan, and the events that overtake it), so each has
 * its own {@linkcode Page}; what one page commits counts as newer than what the others saw before.
 */
export class Ledger {
  readonly store: Store;
  readonly clock: Clock;
  readonly onChanges: ChangesSink;
  readonly onEvent: EventSink;
  readonly #open = new Set<Page>();

  constructor(store: Store, clock: Clock, onChanges: ChangesSink, onEvent: EventSink) {
    this.store = store;
    this.clock = clock;
    this.onChanges = onChanges;
    this.onEvent = onEvent;
  }

  /** Opens a page before the first look that is to be written on it. */
  page(): Page {
    const page = new Page(this, () => this.#open.delete(page));
    this.#open.add(page);
    return page;
  }

  /** Notes for all pages but `by` that a path was written. */
  overtake(path: RelativePath, isFolder: boolean, by: Page): void {
    for (const page of this.#open) if (page !== by) page.overtakenAt(path, isFolder);
  }

  /** The device of the root when it was last found in order; `null` before the first time. */
  rootDevice(): number | null {
    const device = this.store.facts.get(WATCHED_DEVICE);
    return typeof device === "number" ? device : null;
  }

  keepRootDevice(device: number): void {
    if (this.rootDevice() !== device) this.store.facts.set(WATCHED_DEVICE, device);
  }
}

interface Skip {
  readonly path: string;
  readonly reason: SkipReason;
  readonly message: string;
}

/** What one look found and has not yet written to the store. */
export class Page implements Disposable {
  /** What other looks wrote since this one began: theirs is newer. */
  readonly #overtaken = new Set<RelativePath>();
  /** Of that, where no folder is any more: nothing that was seen below is there. */
  readonly #gone = new Set<RelativePath>();
  readonly #ledger: Ledger;
  readonly #onClose: () => void;
  #sightings: Sighting[] = [];
  #skips: Skip[] = [];
  #unskips: string[] = [];

  constructor(ledger: Ledger, onClose: () => void) {
    this.#ledger = ledger;
    this.#onClose = onClose;
  }

  get size(): number {
    return this.#sightings.length + this.#skips.length + this.#unskips.length;
  }

  /** Another look has written a path. */
  overtakenAt(path: RelativePath, isFolder: boolean): void {
    this.#overtaken.add(path);
    if (isFolder) this.#gone.delete(path);
    else this.#gone.add(path);
  }

  /** Whether any other look has written something. */
  get isOvertakenAnywhere(): boolean {
    return this.#overtaken.size > 0;
  }

  /** Whether another look knows better what is at a path. */
  isOvertaken(path: RelativePath): boolean {
    if (this.#overtaken.has(path)) return true;
    return this.#gone.size > 0 && [...ancestorsOf(path)].some((folder) => this.#gone.has(folder));
  }

  /** From here on what is seen is the newest that is known. */
  catchUp(): void {
    this.#overtaken.clear();
    this.#gone.clear();
  }

  add(sighting: Sighting): void {
    this.#sightings.push(sighting);
  }

  /** Notes that something is not sent. */
  skip(path: string, reason: SkipReason, message: string): void {
    this.#skips.push({ path, reason, message });
  }

  /** Notes that the cause is gone for which something was not sent. */
  unskip(path: string): void {
    this.#unskips.push(path);
  }

  /**
   * Writes everything in one transaction.
   *
   * @returns The paths that were left alone because another look overtook this one: to be looked at once more.
   */
  commit(): RelativePath[] {
    if (this.size === 0) return [];
    const sightings = this.#sightings, skips = this.#skips, unskips = this.#unskips;
    this.#sightings = [];
    this.#skips = [];
    this.#unskips = [];
    const { store, clock, onChanges, onEvent } = this.#ledger;
    const left: RelativePath[] = [], news: Skip[] = [], written: Change[] = [];
    store.relaxedTransaction(() => {
      const changes: Change[] = [];
      for (const sighting of sightings) {
        const { path } = sighting;
        if (this.isOvertaken(path)) {
          left.push(path);
          continue;
        }
        const before = store.observed.get(path);
        let after = nextObservation(before, sighting);
        const old = before === null && after !== null ? store.observed.otherOf(after, path) : null;
        if (old !== null && after !== null) after = withKnownHash(after, old);
        if (after === before && !(sighting.kind === "present" && sighting.distrusted)) continue;
        if (after === null) store.observed.remove(path);
        else if (after !== before) store.observed.put(after);
        changes.push({ path, before, after, movedFrom: old?.path ?? null });
        // The system tells only of the name under which a file was written.
        if (before?.kind === "file" && after?.kind === "file") {
          left.push(...store.observed.otherNames(after, path));
        }
        if (before?.kind !== "folder" || after?.kind === "folder") continue;
        // Another look may have noted more in a folder since this one saw that it is none any more.
        for (const row of store.observed.below(path).reverse()) {
          store.observed.remove(row.path);
          changes.push({ path: row.path, before: row, after: null, movedFrom: null });
          left.push(row.path);
        }
      }
      written.push(...changes);
      for (const path of unskips) store.skipped.remove(path);
      const atMs = clock.now();
      for (const skip of skips) {
        if (!store.skipped.add({ ...skip, sinceMs: atMs })) continue;
        store.log.add(localNote(atMs, "skip", skip.path, skip.reason, skip.message));
        news.push(skip);
      }
      if (changes.length > 0) onChanges(changes);
    });
    for (const { path, after } of written) this.#ledger.overtake(path, after?.kind === "folder", this);
    for (const { path, reason, message } of news) {
      const expected = reason === "symlink" || reason === "special";
      onEvent({ kind: "skipped", level: expected ? "detail" : "warning", message, path });
    }
    return left;
  }

  /** Whatever was not committed is dropped. */
  [Symbol.dispose](): void {
    this.#onClose();
  }
}
