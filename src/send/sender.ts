import type { EventSink } from "../domain/events.ts";
import type { Action } from "../domain/header.ts";
import { codeOf, isPermanentRefusal, messageOf, MirrorError } from "../domain/mirror_error.ts";
import {
  isProvisional,
  type Kind,
  type Observation,
  type PathState,
  sameStat,
} from "../domain/observation.ts";
import { foldedPath, type Folding } from "../domain/plan.ts";
import { type Clock, FileError, type FileTree, type Random } from "../domain/ports.ts";
import { ancestorsOf, type RelativePath } from "../domain/relative_path.ts";
import { OPERATION_BACKOFF, retryDelayMs } from "../domain/retry.ts";
import type { TransferStatus } from "../domain/status.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { Link, Reply } from "../link/link.ts";
import type { Pending } from "../store/pending.ts";
import type { Store } from "../store/store.ts";
import { frameBytes } from "../wire/frame.ts";
import { Backlog } from "./backlog.ts";
import { compareTrees } from "./compare_trees.ts";
import { deliverFile, type Delivery, type Progress, SMALL_BYTES } from "./deliver_file.ts";
import { replanAll, replanPath } from "./pending_plan.ts";

/** Small operations that may wait for their ack at once. */
const MAX_IN_FLIGHT = 1024;
/** Large files on their way at once. */
const MAX_LARGE = 2;
/** Attempts after which a file that never rests is sent as it is at one moment. */
const RESTLESS_ATTEMPTS = 2;
/** How long after the database has refused the acks are brought to it again. */
const RECORD_AGAIN_MS = 1_000;
/** Acks that are recorded in one transaction. */
const ACKS_PER_COMMIT = 512;

export interface SenderParts {
  readonly peer: { readonly number: number; readonly name: string };
  readonly store: Store;
  readonly tree: FileTree;
  readonly clock: Clock;
  readonly random: Random;
  /** The name that operations carry as their sender. */
  readonly name: string;
  /** Whether this system has an executable bit that could travel. */
  readonly hasModes: boolean;
  readonly onEvent: EventSink;
  /** A path was not as it had been observed: somebody should look at it again. */
  readonly lookAgain: (path: RelativePath) => void;
  /** Something was delivered, or nothing is left to do. */
  readonly onProgress: (path: RelativePath | null) => void;
}

/** An operation on its way. */
interface InFlight {
  readonly action: Action;
  readonly large: boolean;
}

/** What became of an operation, waiting to be recorded. */
interface Settled {
  readonly path: RelativePath;
  readonly action: Action;
  readonly id: string;
  /** What the peer now holds; `null` when it holds nothing. */
  readonly state: PathState | null;
  /** For a file whose content was read: the stat and hash that belong together, and when it was read. */
  readonly read: Delivery["read"];
  readonly reply: Pick<Reply, "status" | "code" | "message">;
  readonly wireBytes: number;
  /** Nothing travelled: the peer had it already. */
  readonly silent: boolean;
}

/**
 * The sending side towards one peer: turns what is pending into operations, in an order that the peer can follow, and records the
 * acks. It holds no queue that could be lost: everything it has to do is in the table `pending`.
 */
export class Sender {
  readonly #parts: SenderParts;
  readonly #peer: number;
  readonly #inFlight = new Map<RelativePath, InFlight>();
  #largeInFlight = 0;
  readonly #progress = new Map<RelativePath, Progress>();
  readonly #backlog: Backlog;
  /** Upserts and deletions that were just noted: they overtake the backlog. */
  readonly #fresh = new Set<RelativePath>();
  /** Paths whose content the peer did not have when it was offered. */
  readonly #declined = new Set<RelativePath>();
  /** Operations that wait until another path's operation is settled. */
  readonly #after = new Map<RelativePath, RelativePath[]>();
  /** The paths that wait so; what lies below them waits too. */
  readonly #blocked = new Set<RelativePath>();
  #settled: Settled[] = [];
  #recording = false;
  #link: Link | null = null;
  #compared = false;
  #comparing: Promise<void> | null = null;
  /** What the peer holds, by folded path; only for a peer whose disk folds names. */
  #folded: Map<string, RelativePath> | null = null;
  #cancelDue: () => void = () => {};
  #stopped = false;

  constructor(parts: SenderParts) {
    this.#parts = parts;
    this.#peer = parts.peer.number;
    this.#backlog = new Backlog(parts.store, this.#peer, SMALL_BYTES);
    replanAll(parts.store, this.#peer, parts.clock.now());
  }

  /** Whether everything that is observed was acknowledged, as far as it is known. */
  get inSync(): boolean {
    if (!this.#compared || this.#busy) return false;
    const { waiting, refused } = this.#parts.store.pending.totals(this.#peer);
    return waiting + refused === 0;
  }

  /** Whether nothing is under way and nothing is due: all that is left was refused or failed at least `attempts` times. */
  canGetNoFurther(attempts: number): boolean {
    if (!this.#compared || this.#busy || this.#fresh.size > 0) return false;
    const { waiting, refused } = this.#parts.store.pending.totals(this.#peer);
    return waiting + refused <= this.#parts.store.pending.stuck(this.#peer, attempts);
  }

  get isAttached(): boolean {
    return this.#link !== null;
  }

  get #busy(): boolean {
    return this.#inFlight.size > 0 || this.#settled.length > 0 || this.#comparing !== null;
  }

  /** The large files that are on their way out. */
  transfers(): TransferStatus[] {
    const peer = this.#parts.peer.name;
    return [...this.#progress].map(([path, p]) => ({ direction: "sending", peer, path, ...p }));
  }

  /** Starts to send on a link. Full links begin with a comparison of the trees. */
  attach(link: Link): void {
    this.#link = link;
    this.#compared = !link.has("tree");
    this.#backlog.restart();
    this.#parts.store.pending.dueNow(this.#peer);
    const folding = link.hello?.folding;
    this.#folded = folding !== undefined && (folding.case || folding.unicode)
      ? this.#foldedPaths(folding)
      : null;
    link.closed.then(() => this.#detach(link));
    if (this.#compared) this.wake();
    else this.compare();
  }

  /** Compares the trees (again), if there is a link that can. */
  compare(): void {
    const link = this.#link;
    if (link === null || !link.has("tree") || this.#comparing !== null) return;
    this.#compared = false;
    this.#comparing = this.#compareOn(link).finally(() => {
      this.#comparing = null;
      if (this.#link !== null && this.#link !== link) this.compare();
      else this.wake();
    });
  }

  /** Some paths have a new state; their rows in `pending` are written. */
  note(paths: Iterable<RelativePath>): void {
    for (const path of paths) {
      this.#fresh.add(path);
      this.#declined.delete(path);
    }
    if (this.#fresh.size > 20_000) {
      // That many are a backlog: the table has them all.
      this.#fresh.clear();
      this.#backlog.restart();
    }
    this.wake();
  }

  /** Rows became due, or may have: looks through the table again. */
  rescan(): void {
    this.#backlog.restart();
    this.wake();
  }

  /** Sends whatever can be sent now. */
  wake(): void {
    const link = this.#link;
    if (this.#stopped || link === null || link.isClosed || !this.#compared || this.#comparing !== null) {
      return;
    }
    let again = true;
    while (this.#hasRoom(link)) {
      const row = this.#next(link);
      if (row !== null) {
        this.#start(link, row);
        continue;
      }
      // What had to wait for others may go now that nothing is under way.
      if (!again || this.#busy || !this.#backlog.hasSkipped) break;
      again = false;
      this.#backlog.restart();
    }
    if (!this.#busy) this.#rest();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelDue();
    this.#record();
  }

  #detach(link: Link): void {
    if (this.#link !== link) return;
    this.#link = null;
    this.#compared = false;
    this.#cancelDue();
    this.#parts.onProgress(null);
  }

  async #compareOn(link: Link): Promise<void> {
    const { store, random, clock, onEvent, peer } = this.#parts;
    try {
      while (this.#inFlight.size > 0 && !link.isClosed) {
        await new Promise<void>((resolve) => clock.after(10, resolve));
      }
      this.#record();
      if (link.isClosed) return;
      const corrected = await compareTrees({ store, link, random, now: () => clock.now() });
      if (corrected.length > 0) {
        const message =
          `${peer.name} holds other than was believed at ${corrected.length} paths: the difference is sent again`;
        onEvent({ kind: "scan", level: "info", message, peer: peer.name });
      }
      this.#backlog.restart();
      this.#compared = true;
    } catch (error) {
      if (link.isClosed) return;
      link.close(
        error instanceof MirrorError ? error : new MirrorError("failed", messageOf(error), { cause: error }),
      );
    }
  }

  #hasRoom(link: Link): boolean {
    return this.#inFlight.size < (link.has("pipelining") ? MAX_IN_FLIGHT : 1);
  }

  /** The next row to work on: what was just noted first, then the backlog. */
  #next(link: Link): Pending | null {
    const { store, clock } = this.#parts;
    const now = clock.now();
    const largeFits =
      [...this.#inFlight.values()].filter((f) => f.large).length < (link.has("pieces") ? MAX_LARGE : 1);
    for (const path of this.#fresh) {
      this.#fresh.delete(path);
      const row = store.pending.get(this.#peer, path);
      if (row === null || row.state !== "waiting" || row.nextAttemptMs > now || this.#inFlight.has(path)) {
        continue;
      }
      // Folders go when what was in them is gone, and large files when there is room: the backlog knows their order.
      const later = row.action === "delete"
        ? row.kind === "folder"
        : row.sizeBytes > SMALL_BYTES && !largeFits;
      if (later || !this.#mayGo(row)) {
        this.#backlog.restart();
        continue;
      }
      const parent = row.action === "delete" ? null : this.#parentToMake(row.path, now);
      if (parent === null) return row;
      this.#fresh.add(path);
      return parent;
    }
    return this.#backlog.next(now, largeFits, (row) => !this.#inFlight.has(row.path) && this.#mayGo(row));
  }

  /** The topmost folder above a path that is still to be made. */
  #parentToMake(path: RelativePath, nowMs: number): Pending | null {
    for (const folder of ancestorsOf(path)) {
      if (this.#inFlight.has(folder)) continue;
      const row = this.#parts.store.pending.get(this.#peer, folder);
      if (row !== null && row.action !== "delete" && row.state === "waiting" && row.nextAttemptMs <= nowMs) {
        return row;
      }
    }
    return null;
  }

  /** Whether a row's time has come as far as other paths are concerned. */
  #mayGo(row: Pending): boolean {
    if (row.action !== "delete") {
      return ![...ancestorsOf(row.path), row.path].some((path) => this.#blocked.has(path));
    }
    const { store } = this.#parts;
    // The file lives on under another name: the old copy stays until the peer has the new one.
    if (row.movedTo !== null && store.pending.get(this.#peer, row.movedTo)?.state === "waiting") return false;
    if (row.kind === "file") return true;
    for (const { path } of store.acked.below(this.#peer, row.path)) {
      if (this.#inFlight.get(path)?.action !== "delete") return false;
    }
    return true;
  }

  #start(link: Link, row: Pending): void {
    const { store } = this.#parts;
    if (row.action === "delete") return this.#launch(link, row.path, row.kind, null);
    const observed = store.observed.get(row.path);
    if (observed === null || observed.held !== null) return this.#replan(row.path);
    const obstacle = this.#obstacle(link, row.path, observed);
    if (obstacle !== null) {
      this.#blocked.add(row.path);
      const waiting = this.#after.get(obstacle.path) ?? [];
      this.#after.set(obstacle.path, [...waiting, row.path]);
      return this.#clearAway(link, obstacle.path, obstacle.kind);
    }
    this.#launch(link, row.path, observed.kind, observed, row.attempts);
  }

  /** What the peer has that must be deleted before a path can be made: the path itself as another kind, or a folded twin. */
  #obstacle(
    link: Link,
    path: RelativePath,
    observed: Observation,
  ): { path: RelativePath; kind: Kind } | null {
    const { store } = this.#parts;
    const acked = store.acked.get(this.#peer, path);
    if (acked !== null && acked.kind !== observed.kind) return { path, kind: acked.kind };
    if (this.#folded === null || acked !== null) return null;
    const twin = this.#folded.get(foldedPath(path, link.hello!.folding));
    if (twin === undefined || twin === path || store.observed.get(twin) !== null) return null;
    const kind = store.acked.get(this.#peer, twin)?.kind;
    return kind === undefined ? null : { path: twin, kind };
  }

  /** Deletes a path at the peer with all that is below it, the deepest first. */
  #clearAway(link: Link, path: RelativePath, kind: Kind): void {
    const below = kind === "folder" ? this.#parts.store.acked.below(this.#peer, path).reverse() : [];
    for (const entry of [...below.map((b) => ({ path: b.path, kind: b.state.kind })), { path, kind }]) {
      if (!this.#inFlight.has(entry.path)) this.#launch(link, entry.path, entry.kind, null);
    }
  }

  /** Sends one operation; `observed` is `null` for a deletion. Its result is recorded when it comes. */
  #launch(link: Link, path: RelativePath, kind: Kind, observed: Observation | null, attempts = 0): void {
    const acked = this.#parts.store.acked.get(this.#peer, path);
    const action: Action = observed === null ? "delete" : acked === null ? "create" : "update";
    const large = observed?.kind === "file" && observed.sizeBytes > SMALL_BYTES;
    this.#inFlight.set(path, { action, large });
    if (large) this.#largeInFlight++;
    const id = this.#parts.random.uuid();
    const work = kind === "folder" || observed === null
      ? this.#deliverBare(link, id, action, path, kind)
      : this.#deliver(link, id, action, observed, acked, attempts);
    work.then(
      (settled) => this.#settle(settled),
      (error) => this.#failed(link, path, action, error),
    );
  }

  /** Folders and deletions: operations without content. */
  async #deliverBare(
    link: Link,
    id: string,
    action: Action,
    path: RelativePath,
    kind: Kind,
  ): Promise<Settled> {
    const state: PathState | null = action === "delete"
      ? null
      : { kind: "folder", sizeBytes: 0, mtimeMs: 0, executable: false, hash: "" };
    const base = { path, action, id, state, read: null };
    if (action === "delete" && await this.#isStillThere(path, kind)) {
      return { ...base, reply: STILL_THERE, wireBytes: 0, silent: true };
    }
    if (kind === "folder" && !link.has("folders")) {
      // The plain protocol has no folders; the peer makes those that its files need. Nothing is sent, and nothing is missing.
      return { ...base, reply: OK, wireBytes: 0, silent: true };
    }
    const header = {
      id,
      action,
      path,
      timestamp: formatTimestamp(this.#parts.clock.now()),
      size: 0,
      hash: "",
      sender: this.#parts.name,
      compressed: false,
      ...(link.has("folders") ? { kind } : {}),
    };
    await link.credit(0, false);
    const reply = await link.request("small", header);
    return { ...base, reply, wireBytes: frameBytes(header, 0), silent: false };
  }

  /**
   * A last look before a deletion: nothing is deleted at the peer while it is on this disk. That can be when the database does
   * not know of it: because it is ignored, or because the database is new and it could not be read.
   *
   * @throws {FileError} when it cannot be looked at: then it is unknown, not gone.
   */
  async #isStillThere(path: RelativePath, kind: Kind): Promise<boolean> {
    const { tree, store } = this.#parts;
    const now = await tree.lstat(path);
    if (now === null || now.kind !== kind || store.observed.get(path) !== null) return false;
    // On a disk that folds names the old name still finds a file that was renamed only in case.
    return store.observed.otherPathOf(now.inode, now.device, path) === null;
  }

  async #deliver(
    link: Link,
    id: string,
    action: Action,
    observed: Observation,
    acked: PathState | null,
    attempts: number,
  ): Promise<Settled> {
    const { tree, clock, name, hasModes } = this.#parts;
    const delivery = await deliverFile({
      link,
      id,
      action,
      observed,
      acked,
      tree,
      sender: name,
      hasModes,
      restless: attempts >= RESTLESS_ATTEMPTS,
      mayOffer: !this.#declined.has(observed.path),
      now: () => clock.now(),
      onProgress: (progress) => this.#progress.set(observed.path, progress),
    });
    return { path: observed.path, action, id, ...delivery };
  }

  /** Nobody waits for a path any more. */
  #unblock(path: RelativePath): void {
    for (const waiting of this.#after.get(path) ?? []) this.#blocked.delete(waiting);
    this.#after.delete(path);
  }

  #landed(path: RelativePath): void {
    if (this.#inFlight.get(path)?.large === true) this.#largeInFlight--;
    this.#inFlight.delete(path);
  }

  /** Reading failed, or the link went away. */
  #failed(link: Link, path: RelativePath, action: Action, error: unknown): void {
    this.#progress.delete(path);
    if (link.isClosed) {
      // Whether it took effect is not known: the comparison of trees on the next link will tell.
      this.#landed(path);
      this.#unblock(path);
      return;
    }
    const gone = error instanceof FileError &&
      ["not_found", "not_folder", "symlink", "is_folder", "unsupported"].includes(error.code);
    const code = gone
      ? "changed_while_reading"
      : error instanceof FileError && error.code === "denied"
      ? "no_permission"
      : codeOf(error, "io_error");
    if (code === "changed_while_reading") this.#parts.lookAgain(path);
    const reply = { status: "error", code, message: messageOf(error) } as const;
    this.#settle({ path, action, id: "", state: null, read: null, reply, wireBytes: 0, silent: true });
  }

  #settle(settled: Settled): void {
    this.#progress.delete(settled.path);
    this.#settled.push(settled);
    if (this.#settled.length >= ACKS_PER_COMMIT) return this.#record();
    if (this.#recording) return;
    this.#recording = true;
    this.#parts.clock.after(0, () => this.#record());
  }

  /** Records what has come back, in one transaction, and goes on. */
  #record(): void {
    this.#recording = false;
    const batch = this.#settled;
    if (batch.length === 0) return;
    this.#settled = [];
    const { store, clock, onEvent } = this.#parts;
    // A peer that was removed meanwhile has no rows any more.
    if (store.peers.byNumber(this.#peer) === null) return;
    const again: RelativePath[] = [];
    const now = clock.now();
    try {
      store.transaction(() => {
        for (const settled of batch) {
          if (settled.reply.status === "ok") this.#recordAck(settled, now);
          else this.#recordFailure(settled, now, again);
          for (const path of this.#after.get(settled.path) ?? []) again.push(path);
        }
      });
    } catch (error) {
      // The acks stay here until the database takes them; the paths count as on their way, so nothing is sent twice.
      this.#settled = [...batch, ...this.#settled];
      onEvent({
        kind: "problem",
        level: "warning",
        message: `the database refuses to record what was sent: ${messageOf(error)}`,
      });
      if (this.#stopped) return;
      this.#recording = true;
      clock.after(RECORD_AGAIN_MS, () => this.#record());
      return;
    }
    for (const { path } of batch) {
      this.#landed(path);
      this.#unblock(path);
    }
    for (const path of again) this.#fresh.add(path);
    this.#report(batch);
    this.wake();
  }

  #recordAck(settled: Settled, now: number): void {
    const { store, peer, name } = this.#parts;
    const { path, state, read } = settled;
    if (state === null) store.acked.remove(this.#peer, path);
    else store.acked.put(this.#peer, path, state);
    if (this.#folded !== null) this.#keepFolded(path, state !== null);
    if (read !== null) {
      const observed = store.observed.get(path);
      if (observed !== null && sameStat(observed, read.stat)) {
        store.observed.setHash(path, read.hash, isProvisional(read.stat, read.atMs));
      }
    }
    this.#declined.delete(path);
    if (replanPath(store, this.#peer, path, now)) this.#backlog.restart();
    if (settled.silent) return;
    this.#log(settled, now, peer.name, name);
  }

  #recordFailure(settled: Settled, now: number, again: RelativePath[]): void {
    const { store, random, peer, name } = this.#parts;
    const { path, reply } = settled;
    const waitingForIt = (this.#after.get(path) ?? []).filter((waiting) => waiting !== path);
    if (reply === STILL_THERE) store.pending.remove(this.#peer, path);
    if (reply.code === "content_needed") {
      this.#declined.add(path);
      again.push(path);
      return;
    }
    // A step on the way (what was in the way could not be deleted) may have no row of its own: the path that waits has one.
    for (const waiting of reply === STILL_THERE ? waitingForIt : [path, ...waitingForIt]) {
      const attempts = (store.pending.get(this.#peer, waiting)?.attempts ?? 0) + 1;
      const retryMs = isPermanentRefusal(reply.code)
        ? null
        : now + retryDelayMs(OPERATION_BACKOFF, attempts, random.unit());
      store.pending.fail(this.#peer, waiting, reply.code, reply.message, retryMs);
    }
    this.#unblock(path);
    if (!settled.silent) this.#log(settled, now, peer.name, name);
  }

  #log(settled: Settled, now: number, peer: string, sender: string): void {
    const { state, reply } = settled;
    this.#parts.store.log.add({
      atMs: now,
      id: settled.id,
      direction: "sent",
      action: settled.action,
      path: settled.path,
      sizeBytes: state?.sizeBytes ?? 0,
      hash: state === null || state.hash === "" ? null : state.hash,
      timestamp: state === null || state.kind === "folder" ? null : formatTimestamp(state.mtimeMs),
      sender,
      peer,
      status: reply.status,
      code: reply.status === "ok" ? null : reply.code,
      error: reply.status === "ok" ? null : reply.message,
      wireBytes: settled.wireBytes,
    });
  }

  #report(batch: readonly Settled[]): void {
    const { onEvent, onProgress, peer } = this.#parts;
    for (const { path, action, reply, silent } of batch) {
      if (reply === STILL_THERE) continue;
      if (reply.status === "ok" && !silent) {
        onEvent({ kind: "sent", level: "detail", message: `${action} ${path}`, path, peer: peer.name });
      } else if (
        reply.status === "error" && reply.code !== "content_needed" && reply.code !== "changed_while_reading"
      ) {
        const permanent = isPermanentRefusal(reply.code);
        const message = `${path} could not be mirrored to ${peer.name}: ${reply.message}${
          permanent ? "" : " (it is tried again)"
        }`;
        onEvent({ kind: "refused", level: "warning", message, path, peer: peer.name });
      }
      onProgress(path);
    }
  }

  #replan(path: RelativePath): void {
    const { store, clock } = this.#parts;
    store.transaction(() => replanPath(store, this.#peer, path, clock.now()));
  }

  /** Nothing is under way: waits for the next row that becomes due. */
  #rest(): void {
    const { store, clock, onProgress } = this.#parts;
    this.#cancelDue();
    const now = clock.now();
    const due = store.pending.nextDueMs(this.#peer, now);
    if (due !== null) this.#cancelDue = clock.after(Math.min(due - now, 60_000), () => this.rescan());
    onProgress(null);
  }

  #foldedPaths(folding: Folding): Map<string, RelativePath> {
    const folded = new Map<string, RelativePath>();
    for (const { path } of this.#parts.store.acked.each(this.#peer)) {
      folded.set(foldedPath(path, folding), path);
    }
    return folded;
  }

  #keepFolded(path: RelativePath, there: boolean): void {
    const folding = this.#link?.hello?.folding;
    if (this.#folded === null || folding === undefined) return;
    const key = foldedPath(path, folding);
    if (there) this.#folded.set(key, path);
    else if (this.#folded.get(key) === path) this.#folded.delete(key);
  }
}

const OK = { status: "ok", code: "", message: "" } as const;
const STILL_THERE = { status: "error", code: "changed_while_reading", message: "it is still there" } as const;
