import { formatTimestamp } from "../domain/timestamp.ts";
import type { EventSink } from "../domain/events.ts";
import type { Operation } from "../domain/header.ts";
import { type ErrorCode, messageOf, MirrorError } from "../domain/mirror_error.ts";
import { FOLDER_STATE, type PathState } from "../domain/observation.ts";
import type { Folding } from "../domain/plan.ts";
import { type Clock, FileError, type FileErrorCode, type FileTree } from "../domain/ports.ts";
import { type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import type { Owners, Synced } from "../store/synced.ts";
import type { NewTrashed } from "../store/trash.ts";
import { type Applied, Applier, asDoubtful, type Group, isDoubtful, type Trail } from "./apply.ts";
import { flushFolders } from "./flush_folders.ts";
import { inParallel } from "./in_parallel.ts";
import { Journal, type Lump } from "./journal.ts";
import type { JournalEntry } from "./journal_format.ts";
import { type Arrival, type NewFolder, NewFolders } from "./new_folders.ts";
import type { Staged, Staging } from "./staging.ts";
import type { Trash } from "./trash.ts";

/** An operation that is ready to be committed. */
export interface Work {
  readonly peer: { readonly number: number; readonly name: string };
  readonly operation: Operation;
  /** A small file's verified content, or a staged file; `null` for deletions, folders and offers. */
  readonly content: Uint8Array | Staged | null;
  /** Bytes of the operation on the wire, for the log. */
  readonly wireBytes: number;
  /** A folder that holds files of this computer may stay with an ok. */
  readonly mayKeep: boolean;
  /** Whether the link that brought it was replaced, so that it must not be applied any more. */
  readonly dropped: () => boolean;
}

/** What is answered for an operation. */
export type Outcome =
  | { readonly status: "ok"; readonly kept: boolean }
  | { readonly status: "error"; readonly code: ErrorCode; readonly message: string };

interface Queued {
  readonly work: Work;
  readonly settle: (outcome: Outcome) => void;
}

/** One operation of a group on its way through the steps. */
interface Step {
  readonly work: Work;
  readonly wanted: PathState | null;
  readonly aside: string;
  owners: Owners;
  staged: Staged | null;
  /** Its content is in the group's lump of the journal, so the staged file need not be flushed. */
  journalled: boolean;
  /** The folder that it is made in, or that it makes, if that is a new one which is put in place as a whole. */
  newFolder: NewFolder | null;
  readonly trail: Trail;
  applied: Applied | null;
  outcome: Outcome | null;
}

/** A group whose contents are staged. */
interface Prepared {
  readonly group: readonly Queued[];
  readonly steps: readonly Step[];
  readonly paths: ReadonlySet<string>;
  /** Where the contents are that are not flushed by themselves. */
  readonly lump: Lump | null;
  readonly newFolders: NewFolders | null;
  /** Resolves when the contents are durable, or have failed to become so. */
  readonly flushed: Promise<void>;
}

/** A group with fewer small files flushes each: they are on the disk as soon, and nothing is left to be done. */
const JOURNAL_FROM = 8;
/** Larger contents are not written twice: a flush costs little beside writing them. */
const JOURNAL_BYTES = 32 * 1024;

const NO_OWNERS: Owners = { own: null, other: null };

/** Operations that share their flushes and commits. */
const GROUP_OPERATIONS = 256;
const GROUP_BYTES = 16 * 1024 * 1024;
/** Groups whose contents are staged while another one is put in place. */
const GROUPS_AHEAD = 2;
/** How long after an old version has gone that is made durable. */
const REST_MS = 1_000;
/** Flushes under way at once: the file system joins them into few writes of its journal. */
const PARALLEL_FLUSHES = 64;

/**
 * Commits operations in groups, in the order in which they came: content flushed, intents recorded, renamed into place, folders
 * flushed, rows recorded; only then is each answered. A failure concerns its own operation alone.
 */
export class Committer {
  readonly #tree: FileTree;
  readonly #store: Store;
  readonly #staging: Staging;
  readonly #clock: Clock;
  readonly #applier: Applier;
  readonly #onEvent: EventSink;
  readonly #folding: Folding;
  readonly #journal: Journal;
  readonly #queue: Queued[] = [];
  #tail: Promise<unknown> = Promise.resolve();
  #scheduled = false;
  /** Cancels the flush that is to come when nothing has been committed for a moment. */
  #cancelRest: (() => void) | null = null;
  /** Folders whose entries could not be made durable: nothing below them is acknowledged before they are. */
  readonly #unflushed = new Set<string>();
  /** What is in place although its row could not be written: without it our own write would pass for an edit by hand. */
  #unrecorded: Synced[] = [];
  /** What is in the trash although its row could not be written. */
  #unrecordedTrash: NewTrashed[] = [];
  readonly #trash: Trash | null;
  readonly #settle: (path: RelativePath) => Promise<void>;

  constructor(
    parts: {
      tree: FileTree;
      store: Store;
      staging: Staging;
      clock: Clock;
      folding: Folding;
      /** Where a peer's deletions and replaced versions go; `null`: nowhere. */
      trash: Trash | null;
      /** Brings to its end what the disk had refused, a move or a recovery, as far as it concerns a path. */
      settle: (path: RelativePath) => Promise<void>;
      onEvent: EventSink;
    },
  ) {
    this.#tree = parts.tree;
    this.#settle = parts.settle;
    this.#store = parts.store;
    this.#staging = parts.staging;
    this.#clock = parts.clock;
    this.#onEvent = parts.onEvent;
    this.#folding = parts.folding;
    this.#trash = parts.trash;
    this.#applier = new Applier({
      ...parts,
      isFlushed: (path, hash) => !this.#journal.holds(path, hash),
    });
    this.#journal = new Journal({ ...parts, busy: () => this.#scheduled, onSettled: () => this.tidy() });
  }

  /** Waits for what is queued, and makes durable what the journal stands for. */
  async close(): Promise<void> {
    await this.exclusive(() => Promise.resolve());
    await this.#journal.close();
    await this.#tail;
    if (this.#cancelRest === null) return;
    this.#cancelRest();
    await this.#flushTidied();
    this.#cancelRest?.();
  }

  /** Queues an operation; resolves with its answer, durable if it is ok. */
  submit(work: Work): Promise<Outcome> {
    return new Promise((settle) => {
      this.#queue.push({ work, settle });
      if (this.#scheduled) return;
      this.#scheduled = true;
      this.exclusive(async () => {
        // One turn of the event loop, so that what has come together is committed together.
        await new Promise<void>((resolve) => this.#clock.after(0, resolve));
        try {
          // Looked at in one turn with what follows: what is queued as the last group ends must not wait for the next one.
          while (this.#queue.length > 0) await this.#drain();
        } finally {
          this.#scheduled = false;
        }
        this.#journal.rest();
        await this.#staging.tidy();
      });
    });
  }

  /**
   * Old versions have gone from staging. A power cut could bring their names back, with whatever is left of them, until that is
   * durable too; nobody waits for it.
   */
  #restLater(): void {
    this.#cancelRest ??= this.#clock.after(REST_MS, () => void this.exclusive(() => this.#flushTidied()));
  }

  async #flushTidied(): Promise<void> {
    this.#cancelRest = null;
    try {
      await flushFolders(this.#tree, [STAGING_FOLDER, ""]);
    } catch (error) {
      const message = `a power cut could bring old versions back for a moment: ${messageOf(error)}`;
      this.#onEvent({ kind: "problem", level: "detail", message });
      this.#restLater();
    }
  }

  /** Removes the staging folder when nothing is staged any more. */
  tidy(): void {
    this.exclusive(() => this.#staging.tidy());
  }

  /**
   * Runs `work` while nothing is being committed and the file at a path, or those in the folder there, are durable by themselves:
   * they may be moved.
   *
   * @throws {MirrorError} `cannot_move` when they cannot be made so.
   */
  settled<T>(path: RelativePath, work: () => Promise<T>): Promise<T> {
    return this.exclusive(async () => {
      await this.#journal.close();
      if (this.#journal.standsFor(path)) {
        throw new MirrorError("cannot_move", `${path} could not be flushed to the disk yet`);
      }
      return await work();
    });
  }

  /** Runs `work` while nothing is being committed. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work);
    this.#tail = result.catch(() => {});
    return result;
  }

  /**
   * Takes what is queued group by group. While the contents of one group are being flushed, which mostly waits for the disk, the
   * one before is put in place and the one after is written.
   */
  async #drain(): Promise<void> {
    const prepared: Prepared[] = [];
    for (;;) {
      const next = prepared.length < GROUPS_AHEAD ? this.#nextGroup(prepared) : [];
      if (next.length > 0) {
        prepared.push(await this.#prepare(next));
        continue;
      }
      const first = prepared.shift();
      if (first === undefined) return;
      await first.flushed;
      await this.#finish(first);
    }
  }

  /** The longest run of queued operations that may share a group: each path once, none that is being prepared, within the bounds. */
  #nextGroup(before: readonly Prepared[]): Queued[] {
    const paths = new Set<string>();
    let bytes = 0;
    let count = 0;
    for (const { work } of this.#queue) {
      const { path } = work.operation;
      const size = work.content instanceof Uint8Array ? work.content.length : 0;
      if (count >= GROUP_OPERATIONS || (count > 0 && bytes + size > GROUP_BYTES)) break;
      if (paths.has(path) || before.some((group) => group.paths.has(path))) break;
      paths.add(path);
      bytes += size;
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Writes the contents of a group and begins to flush them; nothing of `synced/` but the staging folder changes. */
  async #prepare(group: readonly Queued[]): Promise<Prepared> {
    const steps = group.map(({ work }): Step => ({
      work,
      wanted: this.#wantedState(work),
      owners: NO_OWNERS,
      aside: this.#staging.asidePath(),
      staged: work.content instanceof Uint8Array ? null : work.content,
      journalled: false,
      newFolder: null,
      trail: { conflicts: [], made: [], left: [] },
      applied: null,
      outcome: null,
    }));
    let lump: Lump | null = null;
    let newFolders: NewFolders | null = null;
    try {
      this.#recordUnrecorded();
      await this.#staging.ensure();
      for (const step of steps) await this.#guard(step, () => this.#settle(step.work.operation.path));
      this.#store.snapshot(() => {
        this.#refuseRemoved(steps);
        for (const step of steps) {
          const { peer, operation } = step.work;
          step.owners = this.#store.synced.owners(peer.number, operation.path);
        }
      });
      for (const step of steps) await this.#guard(step, () => this.#check(step));
      lump = await this.#writeJournal(steps);
      if (lump !== null) newFolders = await this.#makeNewFolders(steps);
      for (const step of steps) await this.#guard(step, () => this.#stage(step, newFolders));
    } catch (error) {
      this.#refuseAll(steps, error);
    }
    const paths = new Set<string>(steps.map((step) => step.work.operation.path));
    return { group, steps, paths, lump, newFolders, flushed: this.#flush(steps, lump) };
  }

  /** Writes the small contents of a group to the journal, if there are enough of them. */
  async #writeJournal(steps: readonly Step[]): Promise<Lump | null> {
    const entries: JournalEntry[] = [], contents: Uint8Array[] = [], written: Step[] = [];
    for (const step of steps) {
      const { work: { content, peer, operation: { path } }, wanted, aside } = step;
      if (step.outcome !== null || !(content instanceof Uint8Array) || wanted === null) continue;
      if (content.length > JOURNAL_BYTES) continue;
      entries.push({ peer: peer.number, path, aside, state: wanted });
      contents.push(content);
      written.push(step);
    }
    if (written.length < JOURNAL_FROM) return null;
    try {
      const lump = await this.#journal.append(entries, contents);
      if (lump !== null) { for (const step of written) step.journalled = true; }
      return lump;
    } catch (error) {
      // Each file is flushed by itself then: there may be room for some, and the others say what is wrong.
      if (error instanceof FileError) return null;
      throw error;
    }
  }

  /** New folders whose files are in the journal are made in staging. Where names fold, each is looked at in its place. */
  async #makeNewFolders(steps: readonly Step[]): Promise<NewFolders | null> {
    if (this.#folding.case || this.#folding.unicode) return null;
    const arrivals = steps.filter(({ outcome }) => outcome === null).map(
      ({ work: { operation: { path } }, wanted, owners, journalled }): Arrival => ({
        path,
        kind: wanted?.kind === "folder" ? "folder" : journalled ? "file" : "other",
        isNew: owners.own === null && owners.other === null,
      }),
    );
    const made = await NewFolders.make(this.#tree, this.#staging, arrivals);
    for (const step of steps) {
      if (step.outcome !== null) continue;
      const { path } = step.work.operation;
      step.newFolder = step.journalled ? made.holding(path) : made.at(path);
    }
    return made;
  }

  /** Flushes what was staged for a group, and closes it. Never rejects. */
  async #flush(steps: readonly Step[], lump: Lump | null): Promise<void> {
    const alone = steps.filter((step) => step.staged !== null && !step.journalled);
    const flushing = inParallel(
      PARALLEL_FLUSHES,
      alone,
      (step) => this.#guard(step, () => step.staged!.handle.flush()),
    );
    try {
      await lump?.flush();
    } catch (error) {
      for (const step of steps) {
        if (!step.journalled) continue;
        step.outcome ??= toOutcome(error);
        if (step.newFolder !== null) step.newFolder.spoiled = true;
      }
    }
    await flushing;
    for (const step of alone) step.staged!.handle.close();
  }

  /** Puts a prepared group in place, records it, and answers. */
  async #finish({ group, steps, lump, newFolders }: Prepared): Promise<void> {
    const changed: Group = {
      verified: new Set(),
      toFlush: new Set(this.#unflushed),
      placed: new Set(),
      trashed: [],
    };
    try {
      this.#recordIntents(steps);
      for (const step of steps) {
        await this.#guard(step, () => this.#apply(step, changed));
        if (step.applied !== null && step.applied.row !== null) changed.placed.add(step.applied.row.path);
      }
      await this.#flushFolders(steps, changed.toFlush);
      this.#recordRows(steps, lump, changed.trashed);
    } catch (error) {
      this.#unrecordedTrash.push(...changed.trashed);
      this.#refuseAll(steps, error);
    }
    lump?.release();
    if (steps.some(({ applied, wanted }) => applied !== null && wanted?.kind !== "folder")) this.#restLater();
    for (const [i, step] of steps.entries()) {
      if (step.staged !== null && step.applied === null) {
        // What came in pieces over a link that is gone is continued on the next one.
        if (step.staged.partial === true && step.work.dropped()) step.staged.handle.close();
        else await this.#discard(step.staged);
      }
      group[i]!.settle(step.outcome ?? { status: "ok", kept: step.applied?.kept ?? false });
    }
    for (const { path, error } of steps.flatMap(({ trail }) => trail.left)) this.#tellLeft(path, error);
    await newFolders?.tidy();
  }

  /**
   * Another process can remove a peer at any moment, and its rows with it: what is under way from it is refused. To be called in the
   * transaction that reads or writes rows of the steps' peers.
   *
   * @returns The numbers of the peers that are gone.
   */
  #refuseRemoved(steps: readonly Step[]): ReadonlySet<number> {
    const numbers = new Set(steps.map(({ work }) => work.peer.number));
    const removed = new Set([...numbers].filter((number) => !this.#store.peers.has(number)));
    if (removed.size === 0) return removed;
    for (const step of steps) {
      const { number, name } = step.work.peer;
      if (!removed.has(number)) continue;
      step.outcome ??= toOutcome(new MirrorError("not_trusted", `${name} is no longer a peer of this one`));
    }
    return removed;
  }

  /** The database or the staging folder refused: nothing of the group may be acknowledged. What is in place is remembered. */
  #refuseAll(steps: readonly Step[], error: unknown): void {
    for (const step of steps) {
      step.outcome = toOutcome(error);
      if (step.applied !== null && step.applied.row !== null) {
        this.#unrecorded.push(asDoubtful(step.applied.row));
      }
    }
    const message = `what was received cannot be committed: ${messageOf(error)}`;
    this.#onEvent({ kind: "problem", level: "warning", message });
  }

  /** What the path is to hold. Where the sender cannot say (the plain protocol, Windows), a file is not executable. */
  #wantedState({ operation }: Work): PathState | null {
    if (operation.action === "delete") return null;
    if (operation.kind === "folder") return FOLDER_STATE;
    const executable = operation.executable ?? false;
    return {
      kind: "file",
      sizeBytes: operation.sizeBytes,
      mtimeMs: operation.mtimeMs,
      executable,
      hash: operation.hash,
    };
  }

  async #guard(step: Step, work: () => Promise<void>): Promise<void> {
    if (step.outcome !== null) return;
    try {
      await work();
    } catch (error) {
      step.outcome = toOutcome(error);
    }
  }

  /** What disk and row already hold is answered with that. */
  async #check(step: Step): Promise<void> {
    const { work, wanted, owners } = step;
    if (work.dropped()) throw new MirrorError("link_closed", "the link that brought it was replaced");
    if (await this.#applier.isDone(work.operation.path, wanted, owners)) {
      step.outcome = { status: "ok", kept: false };
    }
  }

  async #stage(step: Step, newFolders: NewFolders | null): Promise<void> {
    try {
      await this.#stageContent(step, newFolders);
    } catch (error) {
      if (step.newFolder !== null) step.newFolder.spoiled = true;
      throw error;
    }
  }

  async #stageContent(step: Step, newFolders: NewFolders | null): Promise<void> {
    const { work, wanted, newFolder } = step;
    const { path } = work.operation;
    if (work.content instanceof Uint8Array) {
      step.staged = newFolder === null || newFolders === null
        ? await this.#staging.create()
        : await newFolders.create(newFolder, path);
      if (work.content.length > 0) await step.staged.handle.write(work.content);
    }
    if (step.staged === null) return;
    step.staged.handle.setTimes(work.operation.mtimeMs);
    if (wanted?.executable === true) step.staged.handle.setExecutable(true);
    if (!step.journalled) return;
    newFolder?.files.set(path, await step.staged.handle.stat());
    step.staged.handle.close();
  }

  /** Writes down what is about to change on the disk and could pass for somebody's doing if a crash came before the rows. */
  #recordIntents(steps: readonly Step[]): void {
    const isBegun = (step: Step) => step.outcome === null && !step.journalled && couldBeMistaken(step);
    if (!steps.some(isBegun)) return;
    this.#store.transaction(() => {
      this.#refuseRemoved(steps);
      for (const { work, aside, wanted } of steps.filter(isBegun)) {
        this.#store.intents.add({ peer: work.peer.number, path: work.operation.path, aside, state: wanted });
      }
    });
  }

  async #apply(step: Step, folders: Group): Promise<void> {
    const { work: { operation, peer, mayKeep }, wanted, aside, owners, trail } = step;
    if (wanted === null) {
      step.applied = await this.#applier.remove(operation.path, aside, mayKeep, owners, folders, trail);
    } else if (await this.#applyInNewFolder(step, wanted, folders)) {
      return;
    } else if (wanted.kind === "folder") {
      step.applied = await this.#applier.putFolder(peer.number, operation.path, owners, folders, trail);
    } else if (step.staged === null) {
      step.applied = await this.#applier.adopt(peer.number, operation.path, wanted, owners, folders);
    } else {step.applied = await this.#applier.putFile(
        peer.number,
        operation.path,
        wanted,
        step.staged.path,
        aside,
        owners,
        folders,
        trail,
      );}
  }

  /** Puts a new folder in place with all that is in it, or finds a file in place with its folder. */
  async #applyInNewFolder(step: Step, wanted: PathState, folders: Group): Promise<boolean> {
    const { newFolder, work: { peer: { number: peer }, operation: { path } } } = step;
    if (newFolder === null) return false;
    if (wanted.kind === "folder") {
      if (newFolder.spoiled) return false;
      step.applied = await this.#applier.placeFolder(peer, path, newFolder.path, folders, step.trail);
      newFolder.placed = step.applied !== null;
      return newFolder.placed;
    }
    const disk = newFolder.files.get(path);
    if (!newFolder.placed || disk === undefined) return false;
    step.applied = { row: { path, peer, state: wanted, disk }, kept: false };
    return true;
  }

  async #flushFolders(steps: readonly Step[], toFlush: ReadonlySet<string>): Promise<void> {
    await inParallel(PARALLEL_FLUSHES, [...toFlush], async (folder) => {
      try {
        // One that a later operation of the group has removed needs no flush: its own parent gets one.
        await flushFolders(this.#tree, [folder]);
        this.#unflushed.delete(folder);
      } catch (error) {
        // Whose old version it was is not told apart: none of them is acknowledged.
        if (folder === this.#trash?.place) {
          for (const step of steps) if (step.applied !== null) step.outcome = toOutcome(error);
          return;
        }
        this.#unflushed.add(folder);
        // All that is below could be lost with an entry of this folder.
        const below = folder === "" ? "" : `${folder}/`;
        for (const step of steps) {
          if (step.applied !== null && step.work.operation.path.startsWith(below)) {
            step.outcome = toOutcome(error);
          }
        }
      }
    });
  }

  #recordRows(steps: readonly Step[], lump: Lump | null, trashed: readonly NewTrashed[]): void {
    const at = this.#clock.now();
    this.#store.transaction(() => {
      this.#store.intents.clear();
      lump?.record();
      this.#trash?.record(trashed);
      const removed = this.#refuseRemoved(steps);
      for (const { work, applied, outcome, trail } of steps) {
        const { operation, peer, wireBytes } = work;
        this.#recordTrail(at, peer, operation.path, trail, outcome === null);
        // What is in place already belongs to nobody, like all else that came from a peer that was removed.
        if (applied !== null && !removed.has(peer.number)) {
          if (applied.row !== null) {
            this.#store.synced.put(outcome === null ? applied.row : asDoubtful(applied.row));
          } else this.#recordGone(peer.number, operation.path, outcome === null);
        }
        // An offer that is declined is a question, not an operation that failed.
        if (outcome?.status === "error" && outcome.code === "content_needed") continue;
        if (work.dropped() && applied === null) continue;
        this.#store.log.add({
          atMs: at,
          id: operation.id,
          direction: "received",
          action: operation.action,
          path: operation.path,
          sizeBytes: operation.sizeBytes,
          hash: operation.hash === "" ? null : operation.hash,
          timestamp: formatTimestamp(operation.mtimeMs),
          sender: operation.sender,
          peer: peer.name,
          status: outcome?.status ?? "ok",
          code: outcome?.status === "error" ? outcome.code : null,
          error: outcome?.status === "error" ? outcome.message : null,
          wireBytes,
        });
      }
    });
  }

  /** A deletion that may not be durable leaves its row: without it nobody would know whose it is if a power cut brought it back. */
  #recordGone(peer: number, path: RelativePath, isDurable: boolean): void {
    const { synced } = this.#store;
    if (isDurable) return synced.remove(peer, path);
    const row = synced.get(peer, path);
    if (row !== null) synced.put(asDoubtful(row));
  }

  /** Writes down what an operation has done beside what it was to do, whether it came to its end or not. */
  #recordTrail(at: number, peer: Work["peer"], path: RelativePath, trail: Trail, isDurable: boolean): void {
    for (const copy of trail.conflicts) {
      const message = `the version of ${path} that was edited here`;
      this.#store.log.add(localNote(at, "conflict", copy, "conflict", message));
      this.#onEvent({
        kind: "conflict",
        level: "warning",
        message: `kept as ${copy}: ${message}`,
        path: copy,
        peer: peer.name,
      });
    }
    if (!isDurable) return;
    // Each has a row since before it was made, which says that it may not be durable.
    for (const folder of trail.made) {
      const row = this.#store.synced.get(peer.number, folder);
      if (row !== null && isDoubtful(row)) {
        this.#store.synced.put({ ...row, disk: { ...row.disk, ctimeMs: 0 } });
      }
    }
  }

  #recordUnrecorded(): void {
    if (this.#unrecorded.length === 0 && this.#unrecordedTrash.length === 0) return;
    this.#store.transaction(() => {
      for (const row of this.#unrecorded) {
        if (this.#store.peers.has(row.peer)) this.#store.synced.put(row);
      }
      this.#trash?.record(this.#unrecordedTrash);
    });
    this.#unrecorded = [];
    this.#unrecordedTrash = [];
  }

  async #discard(staged: Staged): Promise<void> {
    staged.handle.close();
    try {
      await this.#tree.unlink(staged.path);
    } catch (error) {
      // It is swept at the next start; worth a word, as it takes room until then.
      if (error instanceof FileError && error.code === "not_found") return;
      this.#tellLeft(staged.path, error);
    }
  }

  #tellLeft(path: string, error: unknown): void {
    this.#onEvent({
      kind: "problem",
      level: "detail",
      message: `${path} stays until the next start: ${messageOf(error)}`,
    });
  }
}

/** Whether a step that a crash cuts off could be taken for an edit or a deletion by hand. */
function couldBeMistaken({ work: { operation }, wanted, staged, owners: { own } }: Step): boolean {
  // A new folder could stay when its sender, who knows of no success, deletes its own.
  if (operation.kind === "folder") {
    return own === null ? wanted !== null : wanted === null || own.state.kind === "file";
  }
  // An offer that is taken over as it lies there changes no content.
  return !operation.offer || staged !== null;
}

const CODES: Partial<Record<FileErrorCode, ErrorCode>> = {
  denied: "no_permission",
  no_space: "no_space",
  name_too_long: "name_too_long",
  symlink: "symlink_in_path",
  not_folder: "parent_is_file",
  not_empty: "folder_not_empty",
};

/** The answer for anything that was thrown while an operation was applied. */
export function toOutcome(error: unknown): Outcome & { status: "error" } {
  if (error instanceof MirrorError) return { status: "error", code: error.code, message: error.message };
  if (error instanceof FileError) {
    return { status: "error", code: CODES[error.code] ?? "io_error", message: error.message };
  }
  return { status: "error", code: "io_error", message: messageOf(error) };
}
