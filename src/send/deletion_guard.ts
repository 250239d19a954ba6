import type { EventSink } from "../domain/events.ts";
import {
  GUARDED_FILES,
  type MassDeletion,
  massDeletions,
  mostTogether,
  type Span,
} from "../domain/mass_deletion.ts";
import { messageOf } from "../domain/mirror_error.ts";
import type { PathState } from "../domain/observation.ts";
import type { Clock } from "../domain/ports.ts";
import { ancestorsOf, type RelativePath } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { Problem } from "../domain/status.ts";
import type { HeldFile } from "../store/acked.ts";
import type { DepartedFile } from "../store/departed.ts";
import { type HeldDeletion, readHeldDeletions, writeHeldDeletions } from "../store/held_deletions.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";

/** What is deleted within this time counts as deleted at once. */
const WINDOW_MS = 600_000;
/** Deletions wait until no more have come for so long, so that they can be counted together: a few, and more than half of 50. */
const FEW_QUIET_MS = 150;
const MANY_QUIET_MS = 1_000;
/** The longest that they wait so while more come. */
const FEW_LONGEST_MS = 1_000;
const MANY_LONGEST_MS = 60_000;
/** While something else has to end first, and after a failure. */
const AGAIN_MS = 250;
/** Files that have newly come to the peer and are remembered by their content. */
const MAX_ARRIVALS = 50_000;
const PAGE = 1_000;
/** Paths that a message names. */
const EXAMPLES = 4;

export interface GuardParts {
  readonly peer: { readonly number: number; readonly name: string };
  readonly store: Store;
  readonly clock: Clock;
  readonly onEvent: EventSink;
  /** Whether `watched/` is being looked through, so that more deletions may come of it. */
  readonly scanning: () => boolean;
  /** Deletions may go, or others than before. */
  readonly onOpen: () => void;
}

/** How much is deleted below each folder. */
interface Counts {
  /** Files that are to be deleted, or were just now. */
  readonly all: ReadonlyMap<string, number>;
  /** Folders below which a file is still to be deleted. */
  readonly planned: ReadonlySet<string>;
  /** Of some folders: files that were left out of `all`, as they were not there together with the others. */
  readonly apart: ReadonlyMap<string, number>;
}

/** How many files of one folder are deleted that were there together. */
class Together {
  /** Files that are to be deleted and were there all the time. */
  #always = 0;
  /** When the others were there. */
  readonly #spans: Span[] = [];

  /** @param departedMs `Infinity` when the peer still has it. */
  add({ arrivedMs }: HeldFile, departedMs: number, sinceMs: number, now: number): void {
    // A clock that was set tells nothing.
    const from = arrivedMs > Math.min(departedMs, now) ? 0 : arrivedMs;
    if (from <= sinceMs && departedMs === Infinity) this.#always++;
    else this.#spans.push([from, departedMs]);
  }

  get most(): number {
    return this.#always + mostTogether(this.#spans);
  }
}

/**
 * Keeps what looks like an accident from being repeated on the peer: when more than half of a tree of over 50 files would be
 * deleted at once, none of it is deleted until somebody confirms it or the files are back. It counts what is planned against what
 * the peer holds, whatever the plan came from; what was moved, or is found again by its content, does not count.
 *
 * Deletions therefore wait a moment for others that belong to them, and those of the last ten minutes count again: a tree that goes
 * in portions counts as one. But only as many of them count as were there together: a folder in which files come and go one after
 * the other, as in a queue, loses no more than one at once.
 */
export class DeletionGuard {
  readonly #parts: GuardParts;
  readonly #peer: number;
  /** Whether what is planned was counted, so that what is not held may go. */
  #open = false;
  #burst = 0;
  #burstSinceMs: number | null = null;
  #lastMs = 0;
  #hasHeld: boolean;
  #counting = false;
  #changed = false;
  #cancel: () => void = () => {};
  #stopped = false;
  /** Files that came to the peer within the window, the oldest first. */
  #arrivals: { readonly path: RelativePath; readonly hash: string; readonly atMs: number }[] = [];

  constructor(parts: GuardParts) {
    this.#parts = parts;
    this.#peer = parts.peer.number;
    this.#hasHeld = readHeldDeletions(parts.store, this.#peer).length > 0;
  }

  /** Whether deletions may go now that are not held. */
  get mayDelete(): boolean {
    return this.#open;
  }

  /** Whether everything in a folder may be deleted because something else takes its place. */
  mayClear(folder: RelativePath): boolean {
    return this.#open && this.#parts.store.pending.heldIn(this.#peer, folder, 1).length === 0;
  }

  /** Whether anything is held. */
  get hasHeld(): boolean {
    return this.#hasHeld;
  }

  /** Some files are to be deleted that were not before. */
  noted(count: number): void {
    const now = this.#parts.clock.monotonic();
    if (this.#burstSinceMs === null) {
      // Too few files to be guarded: they go at once, as ever.
      if (this.#open && !this.#isGuarded()) return;
      this.#burstSinceMs = now;
    }
    this.#burst += count;
    this.#lastMs = now;
    this.#open = false;
    this.#changed = true;
    this.#schedule();
  }

  /** What is planned may be another than it was: it is counted again before anything more is deleted. */
  check(): void {
    this.#open = false;
    this.#changed = true;
    if (!this.#counting) this.#runAfter(0);
  }

  /** Something that is not a deletion has changed: files may have come back. */
  touched(): void {
    if (this.#hasHeld && this.#burstSinceMs === null && !this.#counting) this.#runAfter(AGAIN_MS);
  }

  /** A new file has come to the peer. */
  arrived(path: RelativePath, state: PathState): void {
    if (state.kind !== "file") return;
    this.#arrivals.push({ path, hash: state.hash, atMs: this.#parts.clock.now() });
    if (this.#arrivals.length > 2 * MAX_ARRIVALS) this.#arrivals = this.#arrivals.slice(-MAX_ARRIVALS);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  #isGuarded(): boolean {
    const { store } = this.#parts;
    return this.#hasHeld ||
      store.acked.filesBelow(this.#peer, "", GUARDED_FILES + 1) > GUARDED_FILES ||
      !store.departed.deletedSince(this.#peer, this.#parts.clock.now() - WINDOW_MS).next().done;
  }

  #schedule(): void {
    if (this.#counting || this.#burstSinceMs === null) return;
    const many = 2 * this.#burst > GUARDED_FILES;
    const quietAt = this.#lastMs + (many ? MANY_QUIET_MS : FEW_QUIET_MS);
    const latest = this.#burstSinceMs + (many ? MANY_LONGEST_MS : FEW_LONGEST_MS);
    this.#runAfter(Math.max(0, Math.min(quietAt, latest) - this.#parts.clock.monotonic()));
  }

  #runAfter(delayMs: number): void {
    this.#cancel();
    if (!this.#stopped) this.#cancel = this.#parts.clock.after(delayMs, () => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#counting || this.#stopped) return;
    if (this.#parts.scanning()) return this.#runAfter(AGAIN_MS);
    this.#counting = true;
    this.#changed = false;
    let failed = false;
    try {
      await this.#count();
    } catch (error) {
      failed = true;
      const message = `deletions could not be counted and wait: ${messageOf(error)}`;
      this.#parts.onEvent({ kind: "problem", level: "warning", message, peer: this.#parts.peer.name });
    } finally {
      this.#counting = false;
    }
    if (this.#stopped) return;
    if (failed) return this.#runAfter(1_000);
    if (this.#changed) return this.#burstSinceMs === null ? this.#runAfter(0) : this.#schedule();
    this.#burst = 0;
    this.#burstSinceMs = null;
    this.#open = true;
    this.#parts.onOpen();
  }

  /** Counts what is planned, and holds or releases accordingly. */
  async #count(): Promise<void> {
    const { store, clock } = this.#parts;
    // A peer that was removed meanwhile has no rows any more.
    if (!store.peers.has(this.#peer)) return;
    const held = readHeldDeletions(store, this.#peer);
    const sinceMs = Math.min(clock.now(), ...held.map((each) => each.sinceMs)) - WINDOW_MS;
    const recent = [...store.departed.deletedSince(this.#peer, sinceMs)];
    const counts = await this.#countBelow(recent, () => false);
    let found = this.#judge(counts, recent);
    if (found.length > 0) {
      // Rarely needed, and never for a few deletions: what is found again elsewhere, and what was there together.
      const elsewhere = this.#elsewhere();
      const many = [...counts.all].filter(([, count]) => 2 * count > GUARDED_FILES).map(([folder]) => folder);
      const closer = await this.#countBelow(recent, (each) => elsewhere(each.state), {
        folders: many,
        sinceMs,
      });
      found = this.#judge(closer, recent);
    }
    this.#apply(held, found);
  }

  /** @param closer The folders of which only what was there together is counted. */
  async #countBelow(
    recent: readonly DepartedFile[],
    isElsewhere: (file: HeldFile) => boolean,
    closer: { readonly folders: readonly string[]; readonly sinceMs: number } = { folders: [], sinceMs: 0 },
  ): Promise<Counts> {
    const { store, clock } = this.#parts;
    const all = new Map<string, number>();
    const planned = new Set<string>();
    const together = new Map(closer.folders.map((folder) => [folder, new Together()]));
    const slices = new Slices(clock);
    const now = clock.now();
    const take = (file: HeldFile, departedMs: number) => {
      if (isElsewhere(file)) return;
      for (const folder of ["", ...ancestorsOf(file.path)]) {
        all.set(folder, (all.get(folder) ?? 0) + 1);
        if (departedMs === Infinity) planned.add(folder);
        together.get(folder)?.add(file, departedMs, closer.sinceMs, now);
      }
    };
    for (const file of recent) take(file, file.departedMs);
    for (let after = "";;) {
      const page = store.pending.unconfirmedDeletions(this.#peer, after, PAGE);
      for (const file of page) take(file, Infinity);
      if (page.length < PAGE) break;
      after = page.at(-1)!.path;
      if (slices.over) await slices.rest();
    }
    const apart = new Map<string, number>();
    for (const [folder, { most }] of together) {
      apart.set(folder, (all.get(folder) ?? 0) - most);
      all.set(folder, most);
    }
    return { all, planned, apart };
  }

  #judge({ all, planned, apart }: Counts, recent: readonly HeldFile[]): MassDeletion[] {
    const found = massDeletions(all, (folder, limit) => {
      const gone = folder === ""
        ? recent.length
        : recent.filter(({ path }) => path.startsWith(`${folder}/`)).length;
      const others = gone - (apart.get(folder) ?? 0);
      return others + this.#parts.store.acked.filesBelow(this.#peer, folder, limit - Math.min(0, others));
    });
    // Where all that is counted is gone already there is nothing left to be held.
    return found.filter(({ folder }) => planned.has(folder));
  }

  /** Says of one file after the other whether it is found again: each place where it is counts for one. */
  #elsewhere(): (state: PathState) => boolean {
    const { store, clock } = this.#parts;
    const places = new Map<string, number>();
    const add = (key: string) => places.set(key, (places.get(key) ?? 0) + 1);
    const take = (key: string) => {
      const count = places.get(key) ?? 0;
      if (count > 0) places.set(key, count - 1);
      return count > 0;
    };
    const sinceMs = clock.now() - WINDOW_MS;
    this.#arrivals = this.#arrivals.filter(({ atMs }) => atMs >= sinceMs).slice(-MAX_ARRIVALS);
    for (const { path, hash } of this.#arrivals) if (store.observed.get(path) !== null) add(hash);
    // What is still to be sent has no hash yet; a file that was moved has kept its size and its time.
    for (const { sizeBytes, mtimeMs } of store.pending.creations(this.#peer)) add(`${sizeBytes} ${mtimeMs}`);
    return ({ hash, sizeBytes, mtimeMs }) => take(hash) || take(`${sizeBytes} ${mtimeMs}`);
  }

  #apply(before: readonly HeldDeletion[], found: readonly MassDeletion[]): void {
    const { store, clock, peer } = this.#parts;
    const now = clock.now();
    const held = found.map((each): HeldDeletion => ({
      ...each,
      sinceMs: before.find(({ folder }) => folder === each.folder)?.sinceMs ?? now,
    }));
    const fresh = held.filter(({ folder }) => !before.some((each) => each.folder === folder));
    const gone = before.filter(({ folder }) => !held.some((each) => each.folder === folder));
    this.#hasHeld = held.length > 0;
    if (held.length === 0 && gone.length === 0) return;
    store.transaction(() => {
      for (const { folder } of gone) store.pending.release(this.#peer, folder);
      for (const { folder } of held) {
        const reason =
          `one of too many deletions at once in ${shown(folder)}: it waits for \`mirrorsync confirm\`, ` +
          "or for the files to come back";
        store.pending.hold(this.#peer, folder, "deletion_guard", reason);
      }
      writeHeldDeletions(store, this.#peer, held);
      for (const each of fresh) this.#tell(each, heldText(store, peer, each), "warning");
      for (const each of gone) {
        this.#tell(
          each,
          `what was held back of ${shown(each.folder)} for ${peer.name} is there again, or was moved`,
          "info",
        );
      }
    });
  }

  #tell({ folder }: HeldDeletion, message: string, level: "warning" | "info"): void {
    const { store, clock, onEvent, peer } = this.#parts;
    store.log.add({ ...localNote(clock.now(), "guard", folder, "deletion_guard", message), peer: peer.name });
    onEvent({ kind: "problem", level, message, peer: peer.name });
  }
}

/** What is held for a peer, as `status` tells of it. */
export function heldProblems(
  store: Store,
  peer: { readonly number: number; readonly name: string },
): Problem[] {
  return readHeldDeletions(store, peer.number).map((held) => ({
    code: "deletion_guard",
    message: heldText(store, peer, held),
    sinceMs: held.sinceMs,
  }));
}

/** What is held, in words, with some of the paths. */
function heldText(
  store: Store,
  peer: { readonly number: number; readonly name: string },
  { folder, deleted, of }: HeldDeletion,
): string {
  const some = store.pending.heldIn(peer.number, folder, EXAMPLES).map(({ path }) => path);
  const waiting = store.pending.filesHeldIn(peer.number, folder);
  const examples = some.length === 0 ? "" : ` (${some.join(", ")}${some.length < waiting ? ", …" : ""})`;
  const soFar = waiting < deleted ? `within ten minutes, and ${waiting} of them now` : "at once";
  return `${deleted} of the ${of} files in ${
    shown(folder)
  } would be deleted on ${peer.name} ${soFar}${examples}: ` +
    "nothing of it is deleted there before you say so with `mirrorsync confirm`. If they should be here, put them " +
    "back (is a disk not mounted, or another folder watched?): then it goes on by itself";
}

function shown(folder: string): string {
  return folder === "" ? "watched/" : `watched/${folder}`;
}
