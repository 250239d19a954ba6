import type { EventSink } from "../domain/events.ts";
import { messageOf } from "../domain/mirror_error.ts";
import type { FileStat, Observation } from "../domain/observation.ts";
import { type Clock, FileError, type FileTree, type WatchEvent } from "../domain/ports.ts";
import { type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import type { Problem } from "../domain/status.ts";
import { Slices } from "../domain/slices.ts";
import type { Store } from "../store/store.ts";
import { Agenda } from "./agenda.ts";
import { Comparison } from "./compare.ts";
import { FolderAgenda } from "./folder_agenda.ts";
import { IgnoreFiles } from "./ignore_files.ts";
import { type ChangesSink, Ledger } from "./ledger.ts";
import { lookAt, type LookParts } from "./look.ts";
import { enterRoot, locate } from "./places.ts";
import { Recheck } from "./recheck.ts";
import { removeGone, Scan, type ScanParts } from "./scan.ts";
import { FRESH_MS, isFresh, judge, type Moment, notice, type Sign, type Unsettled } from "./settle.ts";
import { WatcherKeeper } from "./watcher_keeper.ts";

/** What an observer is made of. */
export interface ObserverParts {
  /** The watched folder. */
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
  /** Milliseconds between two full scans while the watcher works. */
  readonly scanIntervalMs: number;
  /** Called inside the transaction that wrote the rows, and only when something changed. Must not wait for anything. */
  readonly onChanges: ChangesSink;
  readonly onEvent: EventSink;
}

/** How an observer is doing. */
export interface ObserverStatus {
  /** `scanning`: the watcher does not work at present, changes are found by scanning. */
  readonly watcher: "watching" | "scanning" | "starting";
  readonly scan: {
    readonly running: boolean;
    /** When the last full scan ended, milliseconds of UTC. */
    readonly lastMs: number | null;
    readonly lastTookMs: number | null;
  };
  readonly problem: Problem | null;
}

/** What is due so soon is done together. */
const JOIN_MS = 1;
/** The root and the provisional files are looked after this often. */
const TICK_MS = 2000;
/** Without a watcher a full scan follows the last one after this, or after four times what that took. */
const SCANNING_MS = 5000;
/** After lost events the full scan waits this long for the rest of them. */
const LOST_MS = 50;
/** A full scan that failed is tried again after this. */
const FAILED_MS = 10_000;
/**
 * When what was seen could not be written down, nothing is looked at for so long. A look at a new folder asks for a scan of it, which,
 * finding no row of that folder, asks for a look: without a rest the two would keep everything else from its turn.
 */
const REFUSED_MS = 1_000;
/** A folder is young for so long after its time. */
const YOUNG_MS = 5000;

/**
 * Keeps the table `observed` true to the watched folder: a scan at the start and now and then, the watcher's events in between. The events are
 * hints; whatever they leave in doubt is listed again.
 */
export class Observer {
  readonly #parts: ObserverParts;
  readonly #ledger: Ledger;
  readonly #keeper: WatcherKeeper;
  readonly #ignoreFiles: IgnoreFiles;
  readonly #recheck: Recheck;
  readonly #lookParts: LookParts;
  readonly #scanParts: ScanParts;
  readonly #stopping = new AbortController();

  /** What waits to settle, by disk path, and when each is to be looked at. */
  readonly #unsettled = new Map<string, Unsettled>();
  readonly #looks = new Agenda<string>();
  /** Paths of which the sender says that what it read cannot be trusted. */
  readonly #distrusted = new Set<string>();
  readonly #folders = new FolderAgenda();
  /** Rows of folders that vanished, to go when the folders that they may have been moved to were scanned. */
  #removals: Observation[] = [];

  #fullDueAt: number | null = null;
  /** Events were lost, so a full scan has to come before anybody can be sure. */
  #inDoubt = false;
  #waiters: (() => void)[] = [];
  #fullRunning = false;
  #lastMs: number | null = null;
  #lastTookMs: number | null = null;
  #lastEndAt = -Infinity;
  #rootProblem: Problem | null = null;
  #scanProblem: Problem | null = null;
  #startedWatching = false;

  #restUntil = -Infinity;
  #looking: Promise<void> | null = null;
  #scanning: Promise<void> | null = null;
  #wakeAt: number | null = null;
  #cancelWake: (() => void) | null = null;
  #cancelTick: (() => void) | null = null;

  constructor(parts: ObserverParts) {
    const { tree, store, clock, onChanges, onEvent } = parts;
    this.#parts = parts;
    this.#ledger = new Ledger(store, clock, onChanges, onEvent);
    this.#ignoreFiles = new IgnoreFiles(tree, clock);
    this.#keeper = new WatcherKeeper(tree, clock, {
      onWatchEvent: (event) => this.#onWatchEvent(event),
      onBroken: (problem) => this.#onBroken(problem),
      onMended: () => this.#onMended(),
    });
    const lookAgain = (diskPath: string) => this.#notice(diskPath, "asked", 20);
    this.#recheck = new Recheck(tree, this.#ledger, lookAgain, this.#stopping.signal);
    const shared = {
      tree,
      ledger: this.#ledger,
      ignoreFiles: this.#ignoreFiles,
      lookAgain,
      onNewFolder: (diskPath: string, stat: FileStat) => this.#onNewFolder(diskPath, stat),
    };
    this.#scanParts = {
      ...shared,
      takes: (diskPath, stat) => this.#scanTakes(diskPath, stat),
      between: () => this.#scanFolders(),
      // Nothing is sent before the first scan has ended: nobody needs the time meanwhile.
      slices: new Slices(clock, () => this.#lastMs === null ? 0 : 1),
      stopped: this.#stopping.signal,
    };
    this.#lookParts = {
      ...shared,
      takes: (diskPath, stat, row) => this.#lookTakes(diskPath, stat, row),
      asked: (diskPath) => this.#distrusted.delete(diskPath),
      scan: (folder, recursive, afterMs = 0) => this.#wantFolder(folder, recursive, afterMs),
      removeLater: (row) => this.#removals.push(row),
    };
  }

  /**
   * Starts to watch, then scans everything once. Resolves when that scan is done, or found the watched folder missing (see
   * {@linkcode Observer.status}); nothing is taken for deleted then.
   */
  async start(): Promise<void> {
    await this.#keeper.open();
    this.#startedWatching = true;
    this.#tickLater();
    await this.scanNow();
  }

  /** Scans everything; resolves when a scan that began after the call is done. */
  scanNow(): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
      this.#wantFull(0);
    });
  }

  /**
   * Asks for another look at a path, because it changed while it was read. Answered through `onChanges` when the path settled: with its new
   * state, or, if its stat is the one that was observed, with the same row and no hash.
   */
  lookAgain(path: RelativePath, afterMs = 0): void {
    const diskPath = this.#parts.store.observed.get(path)?.diskPath ?? path;
    this.#distrusted.add(diskPath);
    this.#notice(diskPath, "asked", afterMs);
  }

  /** Why the watched folder cannot be looked through, or what was seen not be written down; `null` while all is well. */
  get scanProblem(): string | null {
    return (this.#rootProblem ?? this.#scanProblem)?.message ?? null;
  }

  /** Whether nothing is being scanned, and nothing that was noticed waits to be taken up. */
  idle(): boolean {
    return this.#scanning === null && this.#looking === null && !this.#inDoubt &&
      this.#waiters.length === 0 &&
      this.#unsettled.size === 0 && this.#folders.isCertain && this.#removals.length === 0;
  }

  status(): ObserverStatus {
    return {
      watcher: !this.#startedWatching ? "starting" : this.#keeper.watching ? "watching" : "scanning",
      scan: { running: this.#fullRunning, lastMs: this.#lastMs, lastTookMs: this.#lastTookMs },
      problem: this.#rootProblem ?? this.#keeper.problem ?? this.#scanProblem,
    };
  }

  /** Ends watching and scanning; what was found is written. Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelWake?.();
    this.#cancelTick?.();
    this.#cancelWake = this.#cancelTick = null;
    await this.#keeper.stop();
    await this.#looking;
    await this.#scanning;
    await this.#recheck.done;
    for (const resolve of this.#waiters.splice(0)) resolve();
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  #moment(): Moment {
    const { clock } = this.#parts;
    return { monotonic: clock.monotonic(), wall: clock.now() };
  }

  // What the watcher says.

  #onWatchEvent(event: WatchEvent): void {
    if (event.kind === "lost") return this.#onLost();
    for (const path of event.paths) {
      if (path === "") {
        if (event.kind === "removed" || event.kind === "renamed") void this.#keeper.checkRoot(true);
        continue;
      }
      if (path.includes(STAGING_FOLDER) && path.split("/").includes(STAGING_FOLDER)) continue;
      this.#notice(path, event.kind);
      const slash = path.lastIndexOf("/");
      const folder = slash < 0 ? "" : path.slice(0, slash);
      this.#folders.countEvent(folder, this.#parts.clock.monotonic());
    }
    this.#arm();
  }

  #notice(diskPath: string, sign: Sign, delayMs = 0): void {
    if (this.#stopped) return;
    const known = this.#unsettled.get(diskPath) ?? null;
    const next = notice(known, sign, this.#moment(), this.#keeper.tellsClose, delayMs);
    if (next === known) return;
    this.#unsettled.set(diskPath, next);
    this.#looks.set(diskPath, next.dueAt);
    this.#arm();
  }

  #onLost(): void {
    this.#inDoubt = true;
    const now = this.#parts.clock.monotonic();
    // Events that get lost again and again may cost a tenth of the time, not all of it.
    const earliest = this.#lastEndAt + Math.max(1000, 10 * (this.#lastTookMs ?? 0));
    this.#wantFull(Math.max(LOST_MS, earliest - now));
  }

  #onBroken(problem: Problem): void {
    this.#parts.onEvent({
      kind: "watcher",
      level: "warning",
      message: `changes are found by scanning now, every few seconds: ${problem.message}`,
    });
    this.#wantFull(0);
  }

  #onMended(): void {
    this.#parts.onEvent({
      kind: "watcher",
      level: "info",
      message: `the watched folder ${this.#parts.tree.root} is watched again`,
    });
    this.#wantFull(0);
  }

  // Single paths.

  #runLooks(): void {
    if (this.#looking !== null || this.#stopped || this.#rests) return;
    const due = this.#looks.takeDue(this.#parts.clock.monotonic() + JOIN_MS);
    if (due.length === 0) return;
    this.#looking = this.#look(due).finally(() => {
      this.#looking = null;
      this.#wake();
    });
  }

  async #look(due: readonly string[]): Promise<void> {
    try {
      await lookAt(this.#lookParts, due);
    } catch (error) {
      this.#failed(error);
    }
    for (const path of due) {
      if (this.#looks.has(path)) continue;
      this.#unsettled.delete(path);
      this.#distrusted.delete(path);
    }
  }

  #lookTakes(diskPath: string, stat: FileStat, row: Observation | null): boolean {
    const known = this.#unsettled.get(diskPath);
    if (known === undefined) return true;
    const next = judge(known, stat, row, this.#moment(), this.#keeper.tellsClose);
    if (next === null) return true;
    this.#unsettled.set(diskPath, next);
    this.#looks.setEarlier(diskPath, next.dueAt);
    return false;
  }

  #scanTakes(diskPath: string, stat: FileStat): boolean {
    if (this.#unsettled.has(diskPath)) return false;
    if (!isFresh(stat, this.#parts.clock.now(), FRESH_MS)) return true;
    this.#notice(diskPath, "scanned");
    return false;
  }

  // Folders.

  #wantFolder(folder: string, recursive: boolean, afterMs: number): void {
    this.#folders.want(folder, recursive, this.#parts.clock.monotonic() + afterMs);
    this.#arm();
  }

  #onNewFolder(diskPath: string, stat: FileStat): void {
    const { clock } = this.#parts;
    const now = clock.now();
    const watchedSince = this.#keeper.watchingSinceMs;
    // One that was there when the watcher began is watched from its beginning (ctime comes in whole seconds).
    if (watchedSince === null || Math.max(stat.mtimeMs, stat.ctimeMs + 999) < watchedSince) return;
    const made = now - stat.mtimeMs < YOUNG_MS;
    if (!made && now - stat.ctimeMs >= YOUNG_MS) return;
    this.#folders.appeared(diskPath, !made, clock.monotonic());
    this.#arm();
  }

  /** Scans the folders that are due, then removes those that vanished. */
  async #scanFolders(): Promise<void> {
    for (
      let due = this.#folders.takeDue(this.#parts.clock.monotonic());
      due.length > 0;
      due = this.#folders.takeDue(this.#parts.clock.monotonic())
    ) {
      for (const { folder, recursive } of due) {
        if (this.#stopped) return;
        await this.#scanFolder(folder, recursive);
      }
    }
    const rows = this.#removals.splice(0);
    if (rows.length > 0 && !this.#stopped) await this.#remove(rows);
  }

  async #scanFolder(folder: string, recursive: boolean): Promise<void> {
    const { tree, store } = this.#parts;
    const located = await locate(tree, store, this.#ignoreFiles, folder);
    if (located.kind === "look") this.#notice(located.diskPath, "asked");
    if (located.kind === "look" || located.kind === "nothing") return;
    using page = this.#ledger.page();
    await new Scan({ ...this.#scanParts, between: () => Promise.resolve() }, page)
      .run(located.entrance, recursive || located.kind === "scan");
  }

  async #remove(rows: readonly Observation[]): Promise<void> {
    const { device } = (await enterRoot(this.#parts.tree)).place.stat;
    // Another disk shows: the rows are for the full scan to judge.
    if (device !== (this.#ledger.rootDevice() ?? device)) return this.#wantFull(0);
    using page = this.#ledger.page();
    const comparison = new Comparison(this.#parts.store, page, { takes: () => false, folder: () => {} });
    comparison.gone.push(...rows);
    const commit = () => {
      for (const path of page.commit()) this.#notice(path, "asked");
    };
    await removeGone(this.#scanParts, comparison, async () => {
      if (page.size < 1000) return;
      commit();
      await new Promise<void>((resolve) => this.#parts.clock.after(0, resolve));
    });
    commit();
  }

  // Everything.

  #wantFull(afterMs: number): void {
    const at = this.#parts.clock.monotonic() + afterMs;
    this.#fullDueAt = this.#fullDueAt === null ? at : Math.min(this.#fullDueAt, at);
    this.#arm();
  }

  #runScans(): void {
    if (this.#scanning !== null || this.#stopped || this.#rests) return;
    const now = this.#parts.clock.monotonic() + JOIN_MS;
    const isDue = (at: number | null) => at !== null && at <= now;
    const full = isDue(this.#fullDueAt);
    if (
      !full && !isDue(this.#folders.next()) && this.#removals.length === 0
    ) return;
    const waiters = full ? this.#waiters.splice(0) : [];
    const work = full ? this.#scanAll() : this.#scanFolders().catch((error) => this.#failed(error));
    this.#scanning = work.finally(() => {
      this.#scanning = null;
      for (const resolve of waiters) resolve();
      this.#wake();
    });
  }

  async #scanAll(): Promise<void> {
    const { tree, clock, scanIntervalMs } = this.#parts;
    const start = clock.monotonic();
    this.#fullDueAt = null;
    this.#inDoubt = false;
    this.#fullRunning = true;
    const waiters = this.#waiters.splice(0);
    let nextMs = FAILED_MS;
    try {
      using page = this.#ledger.page();
      await new Scan(this.#scanParts, page).run(await enterRoot(tree), true);
      const tookMs = clock.monotonic() - start;
      this.#lastMs = clock.now();
      this.#lastTookMs = tookMs;
      this.#onScanned(tookMs);
      nextMs = this.#keeper.watching ? scanIntervalMs : Math.max(SCANNING_MS, 4 * tookMs);
    } catch (error) {
      this.#failed(error);
      if (error instanceof FileError) nextMs = SCANNING_MS;
    } finally {
      this.#fullRunning = false;
      this.#lastEndAt = clock.monotonic();
      if (!this.#stopped) this.#wantFull(nextMs);
      for (const resolve of waiters) resolve();
    }
  }

  #onScanned(tookMs: number): void {
    this.#scanProblem = null;
    const root = this.#parts.tree.root;
    if (this.#rootProblem !== null) {
      this.#rootProblem = null;
      this.#parts.onEvent({
        kind: "watcher",
        level: "info",
        message: `the watched folder ${root} is there again`,
      });
      // No need to wait for the watcher's own next try.
      void this.#keeper.open();
    }
    const message = `looked through ${root} in ${(tookMs / 1000).toFixed(tookMs < 1000 ? 2 : 1)} s`;
    this.#parts.onEvent({ kind: "scan", level: "detail", message });
  }

  /** Something that was looked through could not be: a missing root, or what nobody expects (a database that cannot be written). */
  #failed(error: unknown): void {
    if (this.#stopped) return;
    const isRoot = error instanceof FileError;
    const message = isRoot
      ? `${messageOf(error)}. Nothing is deleted on the peer`
      : `looking through ${this.#parts.tree.root} failed: ${messageOf(error)}. It is tried again`;
    const before = isRoot ? this.#rootProblem : this.#scanProblem;
    if (!isRoot) {
      this.#restUntil = this.#parts.clock.monotonic() + REFUSED_MS;
      this.#inDoubt = true;
    }
    if (!this.#fullRunning) this.#wantFull(isRoot ? LOST_MS : FAILED_MS);
    if (before?.message === message) return;
    const problem = {
      code: isRoot ? "bad_folder" : "scan_failed",
      message,
      sinceMs: this.#parts.clock.now(),
    };
    if (isRoot) this.#rootProblem = problem;
    else this.#scanProblem = problem;
    this.#parts.onEvent({ kind: "problem", level: "warning", message });
  }

  // Time.

  /** Sees to it that somebody wakes up for whatever is due next. */
  #arm(): void {
    if (this.#stopped) return;
    let next = this.#looking === null ? this.#looks.next() : null;
    if (this.#scanning === null) {
      for (const at of [this.#folders.next(), this.#fullDueAt]) {
        if (at !== null && (next === null || at < next)) next = at;
      }
    }
    if (next === null) return;
    next = Math.max(next, this.#restUntil);
    if (this.#wakeAt !== null && this.#wakeAt <= next) return;
    this.#cancelWake?.();
    this.#wakeAt = next;
    this.#cancelWake = this.#parts.clock.after(Math.max(0, next - this.#parts.clock.monotonic()), () => {
      this.#wakeAt = null;
      this.#cancelWake = null;
      this.#wake();
    });
  }

  get #rests(): boolean {
    return this.#parts.clock.monotonic() + JOIN_MS < this.#restUntil;
  }

  #wake(): void {
    this.#runLooks();
    this.#runScans();
    this.#arm();
  }

  #tickLater(): void {
    if (this.#stopped) return;
    this.#cancelTick = this.#parts.clock.after(TICK_MS, () => {
      void this.#keeper.checkRoot().finally(() => this.#tickLater());
      this.#recheck.kick((error) => this.#failed(error));
    });
  }
}
