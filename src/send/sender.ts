import type { EventSink } from "../domain/events.ts";
import { ChunkList } from "../chunks/chunk_list.ts";
import type { Action, RawHeader } from "../domain/header.ts";
import { codeOf, isPermanentRefusal, messageOf, MirrorError } from "../domain/mirror_error.ts";
import { FOLDER_STATE, type Kind, type Observation, type PathState } from "../domain/observation.ts";
import { type Clock, FileError, type FileTree, type Random } from "../domain/ports.ts";
import { ancestorsOf, type RelativePath } from "../domain/relative_path.ts";
import { countLeft, type TransferProgress } from "../domain/status.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { Link } from "../link/link.ts";
import { INDEXED_BYTES } from "../store/acked.ts";
import type { Store } from "../store/store.ts";
import { frameBytes } from "../wire/frame.ts";
import type { FrameReader } from "../wire/frame_reader.ts";
import { compareTrees } from "./compare_trees.ts";
import { deliverFile, type Progress, SMALL_BYTES } from "./deliver_file.ts";
import { FoldedNames } from "./folded_names.ts";
import { DeletionGuard } from "./deletion_guard.ts";
import { LastLooks } from "./last_looks.ts";
import type { Base, Outgoing } from "./outgoing.ts";
import { type InFlight, Order, type Ready } from "./order.ts";
import { Similar } from "./similar.ts";
import { Moves } from "./moves.ts";
import { type Noted, replanAll, replanPath } from "./pending_plan.ts";
import { recordAck, recordFailure, type Settled, STILL_THERE } from "./settled.ts";
import { lookAlike } from "./twins.ts";
import { Uncertain } from "./uncertain.ts";

/** Small operations that may wait for their ack at once. */
const MAX_IN_FLIGHT = 1024;
/** Large files that are being read and sent at once, and those that may wait for their ack besides. */
const MAX_LARGE = 2;
const MAX_LARGE_UNANSWERED = 8;
/** Attempts after which a file that never rests is sent as it is at one moment. */
const RESTLESS_ATTEMPTS = 2;
/** How long after room was made what had found none is tried again, all of it at once. */
const ROOM_MS = 1_000;
/** How long after the database has refused the acks are brought to it again. */
const RECORD_AGAIN_MS = 1_000;
/** The clock may be set while a row waits for its time: that is looked after this often. */
const MAX_DUE_MS = 60_000;
/** How long a path that was renamed in case only waits for its old name to go, and how often it is looked after. */
const OLD_NAME_MS = 5_000;
const OLD_NAME_LOOK_MS = 20;
/** Acks that are recorded in one transaction. */
const ACKS_PER_COMMIT = 512;
/** The longest list of chunks that is taken from a peer: those of our own making have up to 19 MB. */
const MAX_CHUNKS_BYTES = 20 * 1024 * 1024;

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
  /** Whether `watched/` is being looked through. */
  readonly scanning: () => boolean;
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
  /** Those of them of which not everything is sent yet. */
  readonly #largeUnsent = new Set<RelativePath>();
  readonly #progress = new Map<RelativePath, Progress>();
  /** The large files that are on their way in pieces, by the id of their operation. */
  readonly #outgoing = new Map<string, Outgoing>();
  readonly #order: Order;
  readonly #moves: Moves;
  readonly #guard: DeletionGuard;
  /** Paths that wait because something must be deleted first, and the guard counts it. */
  readonly #guarded = new Set<RelativePath>();
  readonly #uncertain: Uncertain;
  readonly #lastLooks: LastLooks;
  /** Files whose transfer was given up as another one had taken their name, and how often that was since they last arrived. */
  readonly #outdated = new Map<RelativePath, number>();
  /** Paths whose content the peer did not have when it was offered. */
  readonly #declined = new Set<RelativePath>();
  #settled: Settled[] = [];
  #recording = false;
  #link: Link | null = null;
  #compared = false;
  #comparing: Promise<number | null> | null = null;
  /** Only for a peer whose disk folds names. */
  #folded: FoldedNames | null = null;
  /** Paths that wait for their old name to go, and until when (monotonic milliseconds). */
  readonly #renamed = new Map<RelativePath, number>();
  #cancelDue: () => void = () => {};
  /** When the next row becomes due that waits for its time; `null` when nobody waits for one. Milliseconds of UTC. */
  #dueMs: number | null = null;
  #stopped = false;
  /** Cancel the looks at paths that wait for their old name to go. */
  readonly #oldNameLooks = new Set<() => void>();
  /** Something was refused because this peer's quota there is used up. */
  #overQuota = false;
  #cancelRoom: (() => void) | null = null;

  constructor(parts: SenderParts) {
    this.#parts = parts;
    this.#peer = parts.peer.number;
    this.#guard = new DeletionGuard({
      ...parts,
      onOpen: () => {
        this.#order.free(...this.#guarded);
        this.#guarded.clear();
        this.#order.restart();
        this.wake();
      },
    });
    this.#order = new Order(parts.store, this.#peer, this.#inFlight, () => this.#guard.mayDelete);
    this.#moves = new Moves(parts, this.#peer, this.#inFlight);
    this.#uncertain = new Uncertain(parts.store, this.#peer);
    this.#lastLooks = new LastLooks({
      ...parts,
      peer: this.#peer,
      isInFlight: (path) => this.#inFlight.has(path),
      onGone: (path) => {
        this.#replan(path);
        this.note([path], { deletions: 1 });
      },
    });
    replanAll(parts.store, this.#peer, parts.clock.now());
  }

  /** Whether everything that is observed was acknowledged, as far as it is known. */
  get inSync(): boolean {
    if (!this.#compared || this.#busy) return false;
    return countLeft(this.#parts.store.pending.totals(this.#peer)) === 0;
  }

  /** Whether nothing is under way and nothing is due: all that is left was refused or failed at least `attempts` times. */
  canGetNoFurther(attempts: number): boolean {
    if (!this.#compared || this.#busy || this.#order.hasFresh) return false;
    const { pending } = this.#parts.store;
    return countLeft(pending.totals(this.#peer)) <= pending.stuck(this.#peer, attempts);
  }

  get isAttached(): boolean {
    return this.#link !== null;
  }

  get #busy(): boolean {
    return this.#inFlight.size > 0 || this.#settled.length > 0 || this.#comparing !== null;
  }

  /** The large files that are on their way out. */
  transfers(): TransferProgress[] {
    const peer = this.#parts.peer.name;
    return [...this.#progress].map(([path, p]) => ({ direction: "sending", peer, path, ...p }));
  }

  /** Starts to send on a link. Full links begin with a comparison of the trees. */
  attach(link: Link): void {
    this.#link = link;
    this.#compared = !link.has("tree");
    this.#order.restart();
    this.#guard.check();
    this.#parts.store.pending.dueNow(this.#peer);
    this.#findFoldedNames(link);
    link.closed.then(() => this.#detach(link));
    if (this.#compared) this.wake();
    else this.compare();
  }

  #findFoldedNames(link: Link): void {
    const folding = link.hello?.folding;
    this.#folded = folding !== undefined && (folding.case || folding.unicode)
      ? new FoldedNames(folding, this.#parts.store.acked.each(this.#peer))
      : null;
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

  /**
   * Compares the trees after whatever comparison is under way.
   *
   * @returns At how many paths the peer held other than was believed; `null` when it could not be found out. Never rejects.
   */
  async compareNow(): Promise<number | null> {
    await this.#comparing;
    this.compare();
    return await this.#comparing;
  }

  /** Some paths have a new state; their rows in `pending` are written. */
  note(paths: Iterable<RelativePath>, { creations, deletions }: Partial<Noted> = {}): void {
    const noted = [...paths];
    if (deletions !== undefined && deletions > 0) this.#guard.noted(deletions);
    else this.#guard.touched();
    for (const path of noted) this.#declined.delete(path);
    for (const outgoing of this.#outgoing.values()) {
      // Nobody wants the rest of a file that is gone; what has come of it serves under its new name, if it has one.
      const now = this.#parts.store.observed.get(outgoing.path);
      if (now === null) outgoing.abandon();
      else if (now.kind === "file" && outgoing.isOutdatedBy(now)) {
        this.#outdated.set(outgoing.path, (this.#outdated.get(outgoing.path) ?? 0) + 1);
        outgoing.abandon();
      }
    }
    this.#order.note(noted, creations);
    this.wake();
  }

  /** Rows became due, or may have: looks through the table again. */
  rescan(): void {
    this.#order.restart();
    if (this.#guard.hasHeld) this.#guard.check();
    this.wake();
  }

  /** Sends whatever can be sent now. */
  wake(): void {
    const link = this.#link;
    if (this.#stopped || link === null || link.isClosed || !this.#compared || this.#comparing !== null) {
      return;
    }
    const next = this.#order.turn(this.#parts.clock.now(), () => this.#largeFits(link));
    for (let again = true; this.#hasRoom(link);) {
      const row = next();
      if (row !== null) {
        this.#start(link, row);
        continue;
      }
      // What had to wait for others may go now that nothing is under way.
      if (!again || this.#busy || !this.#order.hasSkipped) break;
      again = false;
      this.#order.restart();
    }
    if (!this.#busy) this.#rest();
  }

  stop(): void {
    this.#stopped = true;
    this.#awaitNothing();
    this.#guard.stop();
    this.#lastLooks.stop();
    for (const cancel of this.#oldNameLooks) cancel();
    this.#cancelRoom?.();
    this.#record();
  }

  #detach(link: Link): void {
    if (this.#link !== link) return;
    this.#link = null;
    this.#compared = false;
    this.#awaitNothing();
    this.#parts.onProgress(null);
  }

  async #compareOn(link: Link): Promise<number | null> {
    const { store, random, clock, onEvent, peer } = this.#parts;
    try {
      while (this.#inFlight.size > 0 && !link.isClosed) {
        await new Promise<void>((resolve) => clock.after(10, resolve));
      }
      this.#record();
      if (link.isClosed) return null;
      const corrected = await compareTrees({ store, link, random, now: () => clock.now() });
      if (corrected.length > 0) {
        const message =
          `${peer.name} holds other than was believed at ${corrected.length} paths: the difference is sent again`;
        onEvent({ kind: "scan", level: "info", message, peer: peer.name });
        this.#findFoldedNames(link);
        if (this.#folded !== null) {
          const gone = corrected.filter((path) => store.acked.get(this.#peer, path) === null);
          store.transaction(() => this.#freedBy(gone, clock.now()));
        }
      }
      this.#order.restart();
      // A comparison that went wrong must not delete what a look at the disk would not.
      if (corrected.length > 0) this.#guard.check();
      this.#compared = true;
      return corrected.length;
    } catch (error) {
      if (!link.isClosed) {
        link.close(
          error instanceof MirrorError
            ? error
            : new MirrorError("failed", messageOf(error), { cause: error }),
        );
      }
      return null;
    }
  }

  #hasRoom(link: Link): boolean {
    return this.#inFlight.size < (link.has("pipelining") ? MAX_IN_FLIGHT : 1);
  }

  /** Whether one more large file may go: while those that are sent wait for the other disk, the next ones are on their way. */
  #largeFits(link: Link): boolean {
    if (!link.has("pieces")) return this.#largeInFlight === 0;
    return this.#largeUnsent.size < MAX_LARGE && this.#largeInFlight < MAX_LARGE_UNANSWERED;
  }

  #start(link: Link, row: Ready): void {
    const { store } = this.#parts;
    if (row.action === "delete") return this.#launch(link, row.path, row.kind, null, null);
    const observed = row.created ?? store.observed.get(row.path);
    if (observed === null || observed.held !== null) return this.#replan(row.path);
    const acked = row.created === undefined ? store.acked.get(this.#peer, row.path) : null;
    const before = this.#deletedBefore(observed.path) ?? this.#foldedBefore(observed.path);
    if (before !== null) return this.#order.block(observed.path, before);
    if (this.#waitsForOldName(observed.path, row.movedFrom)) return;
    const obstacle = this.#obstacle(observed, acked);
    if (obstacle !== null) {
      if (obstacle.kind === "folder" && !this.#guard.mayClear(obstacle.path)) {
        // It would be the next again and again, as a folder above what is to be sent.
        this.#guarded.add(row.path);
        return this.#order.hold(row.path);
      }
      const arriving = obstacle.kind === "folder" ? this.#order.arrivingBelow(obstacle.path) : null;
      if (arriving !== null) return this.#order.block(row.path, arriving);
      this.#order.block(row.path, obstacle.path);
      return this.#clearAway(link, obstacle.path, obstacle.kind);
    }
    const { movedFrom } = row;
    if (movedFrom !== null && this.#inFlight.get(movedFrom)?.large === true) {
      // What the peer has got of it by then serves under the new name, too.
      return this.#order.block(row.path, movedFrom);
    }
    const movable = acked === null && movedFrom !== null && this.#moves.isPossible(link, row.path, movedFrom);
    this.#launch(link, row.path, observed.kind, observed, acked, row.attempts, movable ? movedFrom : null);
  }

  /**
   * On a disk that folds names: a path that was renamed in case only waits until its old name has been seen to be gone, as what is
   * still observed there would be made again. If that does not come, there are two files, of which the peer can hold one.
   */
  #waitsForOldName(path: RelativePath, movedFrom: RelativePath | null): boolean {
    const { store, clock } = this.#parts;
    const isRenamed = movedFrom !== null && this.#folded?.twinOf(path) === movedFrom &&
      store.observed.get(movedFrom) !== null;
    const endMs = this.#renamed.get(path) ?? clock.monotonic() + OLD_NAME_MS;
    if (!isRenamed || clock.monotonic() >= endMs) {
      this.#renamed.delete(path);
      return false;
    }
    this.#renamed.set(path, endMs);
    this.#order.block(path, movedFrom);
    const cancel = clock.after(OLD_NAME_LOOK_MS, () => {
      this.#oldNameLooks.delete(cancel);
      this.#order.unblock(movedFrom);
      this.note([path]);
    });
    this.#oldNameLooks.add(cancel);
    return true;
  }

  /**
   * A folder above a path that is just being deleted: it must be made again first. Else the peer would make it for the file's sake, and
   * not know, after a crash, that it did.
   */
  #deletedBefore(path: RelativePath): RelativePath | null {
    for (const folder of ancestorsOf(path)) {
      if (this.#inFlight.get(folder)?.action === "delete") return folder;
    }
    return null;
  }

  /** On a disk that folds names: the path whose operation must have come to its end before `path` can be made. */
  #foldedBefore(path: RelativePath): RelativePath | null {
    const folded = this.#folded;
    if (folded === null) return null;
    const twin = folded.twinUnderWay(path);
    if (twin !== null) return twin;
    // A folder that is there under another spelling would take the file in.
    for (const folder of ancestorsOf(path)) {
      const waits = folded.twinOf(folder) !== null &&
        this.#parts.store.pending.get(this.#peer, folder) !== null;
      if (waits) return folder;
    }
    return null;
  }

  /** What the peer has that must be deleted before a path can be made: the path itself as another kind, or a folded twin. */
  #obstacle(
    observed: Observation,
    acked: PathState | null,
  ): { readonly path: RelativePath; readonly kind: Kind } | null {
    const { store } = this.#parts;
    const { path } = observed;
    if (acked !== null) return acked.kind === observed.kind ? null : { path, kind: acked.kind };
    const twin = this.#folded?.twinOf(path) ?? null;
    if (twin === null || store.observed.get(twin) !== null) return null;
    const kind = store.acked.get(this.#peer, twin)?.kind;
    return kind === undefined ? null : { path: twin, kind };
  }

  /** Deletes a path at the peer with all that is below it, the deepest first. */
  #clearAway(link: Link, path: RelativePath, kind: Kind): void {
    const below = kind === "folder" ? this.#parts.store.acked.below(this.#peer, path).reverse() : [];
    for (const entry of [...below.map((b) => ({ path: b.path, kind: b.state.kind })), { path, kind }]) {
      if (!this.#inFlight.has(entry.path)) this.#launch(link, entry.path, entry.kind, null, null);
    }
  }

  /** Sends one operation; `observed` is `null` for a deletion. Its result is recorded when it comes. */
  #launch(
    link: Link,
    path: RelativePath,
    kind: Kind,
    observed: Observation | null,
    acked: PathState | null,
    attempts = 0,
    movedFrom: RelativePath | null = null,
  ): void {
    const action: Action = observed === null ? "delete" : acked === null ? "create" : "update";
    const large = observed?.kind === "file" && observed.sizeBytes > SMALL_BYTES;
    this.#inFlight.set(path, { action, large });
    this.#folded?.begin(path);
    if (large) {
      this.#largeInFlight++;
      this.#largeUnsent.add(path);
    }
    const id = this.#parts.random.uuid();
    const plainly = (movedFrom: RelativePath | null) =>
      kind === "folder" || observed === null
        ? this.#deliverBare(link, id, action, path, kind)
        : this.#deliver(link, id, action, observed, acked, movedFrom, attempts);
    const send = () =>
      movedFrom === null || observed === null
        ? plainly(null)
        : this.#deliverMoved(link, observed, movedFrom).then((settled) => settled ?? plainly(movedFrom));
    const sendUncertain = async () => {
      this.#uncertain.begin(path, this.#parts.clock.now());
      return await send();
    };
    const work = kind === "file" && !link.has("tree")
      ? sendUncertain()
      : large && acked === null
      ? this.#twinOf(observed).then((twin) => twin === null ? send() : this.#sendAfter(path, twin))
      : send();
    work.then(
      (settled) => settled === null || this.#settle(settled),
      (error) => this.#failed(link, path, action, error),
    );
  }

  /**
   * A large file that is on its way and that this one, which is new to the peer, looks like a copy of. Once the peer has that, this one
   * need not travel: several copies of a file often come together.
   */
  async #twinOf(observed: Observation): Promise<RelativePath | null> {
    const { store, tree } = this.#parts;
    for (const [path, { large }] of this.#inFlight) {
      // Of those that began before: else two would wait for each other.
      if (path === observed.path) break;
      const other = large ? store.observed.get(path) : null;
      if (other?.kind === "file" && await lookAlike(tree, other, observed)) return path;
    }
    return null;
  }

  /** Nothing was sent of `path`: it goes when the operation on `twin` is settled. */
  #sendAfter(path: RelativePath, twin: RelativePath): null {
    this.#landed(path);
    // Whoever waited for it, as it was on its way, need not: it may be gone by now, and nobody would tell them.
    const waiting = this.#order.waitingFor(path);
    this.#order.unblock(path);
    if (this.#inFlight.has(twin)) this.#order.block(path, twin);
    else this.#order.note([path]);
    this.#order.note(waiting);
    this.wake();
    return null;
  }

  /** Folders and deletions: operations without content. */
  async #deliverBare(
    link: Link,
    id: string,
    action: Action,
    path: RelativePath,
    kind: Kind,
  ): Promise<Settled> {
    const state: PathState | null = action === "delete" ? null : FOLDER_STATE;
    const base = { path, action, id, state, read: null };
    if (action === "delete" && await this.#lastLooks.isStillThere(path, kind)) {
      return { ...base, reply: STILL_THERE, wireBytes: 0, silent: true, chunks: null };
    }
    if (kind === "folder" && !link.has("folders")) {
      // The plain protocol has no folders; the peer makes those that its files need. Nothing is sent, and nothing is missing.
      return { ...base, reply: OK, wireBytes: 0, silent: true, chunks: null };
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
    return { ...base, reply, wireBytes: frameBytes(header, 0), silent: false, chunks: null };
  }

  /**
   * Has the peer rename what it holds, if that is what happened here.
   *
   * @returns `null` when it did not, or the peer cannot: the path is then sent like any other.
   */
  async #deliverMoved(link: Link, observed: Observation, from: RelativePath): Promise<Settled | null> {
    const { path, kind, mtimeMs } = observed;
    this.#order.hold(from, path);
    let moved = false;
    try {
      const hash = await this.#moves.whatMoved(link, observed, from);
      if (hash === null) return null;
      const executable = this.#parts.hasModes && observed.executable;
      const state: PathState = kind === "folder"
        ? FOLDER_STATE
        : { kind, sizeBytes: observed.sizeBytes, mtimeMs, executable, hash };
      const id = this.#parts.random.uuid();
      const header = {
        id,
        action: "move",
        path,
        from,
        timestamp: formatTimestamp(mtimeMs),
        size: state.sizeBytes,
        hash,
        sender: this.#parts.name,
        compressed: false,
        kind,
        ...(this.#parts.hasModes && link.has("modes") && kind === "file" ? { executable } : {}),
      };
      await link.credit(0, false);
      const reply = await link.request("small", header);
      if (reply.status !== "ok") return null;
      moved = true;
      const read = kind === "folder" ? null : { stat: observed, hash, atMs: this.#parts.clock.now() };
      const rest = { read, reply, wireBytes: frameBytes(header, 0), silent: false, chunks: null };
      return { path, action: "move", movedFrom: from, id, state, ...rest };
    } finally {
      // What was moved is freed when it is recorded: until then the old paths are still thought to be there.
      if (!moved) this.#order.free(from, path);
    }
  }

  async #deliver(
    link: Link,
    id: string,
    action: Action,
    observed: Observation,
    acked: PathState | null,
    movedFrom: RelativePath | null,
    attempts: number,
  ): Promise<Settled> {
    const { tree, clock, name, hasModes, store } = this.#parts;
    const likely = acked ?? (movedFrom === null ? null : store.acked.get(this.#peer, movedFrom));
    const delivery = await deliverFile({
      link,
      id,
      action,
      observed,
      acked,
      tree,
      sender: name,
      hasModes,
      restless: Math.max(attempts, this.#outdated.get(observed.path) ?? 0) >= RESTLESS_ATTEMPTS,
      mayOffer: !this.#declined.has(observed.path),
      clock,
      bases: this.#basesFor(likely),
      similar: new Similar(store, this.#peer),
      peerHas: {
        // Smaller files are not found by their hash.
        content: (hash, sizeBytes) =>
          sizeBytes > INDEXED_BYTES &&
          (store.acked.withHash(this.#peer, hash).length > 0 || store.departed.hasHash(this.#peer, hash)),
        size: (sizeBytes) =>
          store.acked.hasSize(this.#peer, sizeBytes) || store.departed.hasSize(this.#peer, sizeBytes),
      },
      outgoing: this.#outgoing,
      onProgress: (progress) => this.#progress.set(observed.path, progress),
      onSent: () => {
        this.#largeUnsent.delete(observed.path);
        this.wake();
      },
    });
    return { path: observed.path, action, id, ...delivery };
  }

  /** What the peer has of a file, if it is remembered how that was cut into chunks. */
  #basesFor(acked: PathState | null): Base[] {
    if (acked?.kind !== "file" || acked.sizeBytes <= SMALL_BYTES) return [];
    const bytes = this.#parts.store.chunkLists.get(acked.hash);
    const chunks = bytes === null ? null : ChunkList.parse(bytes);
    return chunks === null || chunks.count === 0 ? [] : [{ hash: acked.hash, chunks }];
  }

  /** The receiver wants a large file's transfer to go on somewhere else. */
  async resume(header: RawHeader, content: FrameReader): Promise<void> {
    const { id } = header;
    const outgoing = typeof id === "string" ? this.#outgoing.get(id) : undefined;
    if (outgoing === undefined) return;
    if (content.contentLeft <= MAX_CHUNKS_BYTES) return outgoing.resume(header, await content.rest());
    outgoing.fail(
      new MirrorError("bad_content", `the peer's list of chunks is longer than ${MAX_CHUNKS_BYTES} bytes`),
    );
  }

  #landed(path: RelativePath): void {
    if (this.#inFlight.get(path)?.large === true) {
      this.#largeInFlight--;
      this.#largeUnsent.delete(path);
    }
    this.#inFlight.delete(path);
    this.#uncertain.end(path);
    this.#folded?.end(path);
  }

  /** Reading failed, or the link went away. */
  #failed(link: Link, path: RelativePath, action: Action, error: unknown): void {
    this.#progress.delete(path);
    if (link.isClosed) {
      // Whether it took effect is not known: the comparison of trees on the next link will tell.
      this.#order.freeAll();
      this.#landed(path);
      this.#order.unblock(path);
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
    this.#settle({
      path,
      action,
      id: "",
      state: null,
      read: null,
      reply,
      wireBytes: 0,
      silent: true,
      chunks: null,
    });
  }

  #settle(settled: Settled): void {
    this.#progress.delete(settled.path);
    // Whoever has stopped this may have closed the database. The comparison of trees on the next link tells what came of it.
    if (this.#stopped) return;
    this.#settled.push(settled);
    if (this.#settled.length >= ACKS_PER_COMMIT) return this.#record();
    if (this.#recording) return;
    this.#recordLater(0);
  }

  #recordLater(afterMs: number): void {
    this.#recording = true;
    this.#parts.clock.after(afterMs, () => {
      if (!this.#stopped) this.#record();
    });
  }

  /** Records what has come back, in one transaction, and goes on. */
  #record(): void {
    this.#recording = false;
    const batch = this.#settled;
    if (batch.length === 0) return;
    this.#settled = [];
    const { store, clock, onEvent } = this.#parts;
    // A peer that was removed meanwhile has no rows any more.
    if (!store.peers.has(this.#peer)) return;
    const again: RelativePath[] = [];
    const now = clock.now();
    try {
      store.relaxedTransaction(() => {
        for (const settled of batch) {
          this.#recordOne(settled, now, again);
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
      this.#recordLater(RECORD_AGAIN_MS);
      return;
    }
    for (const { path, movedFrom } of batch) {
      this.#landed(path);
      this.#order.unblock(path);
      this.#order.forget(path);
      if (movedFrom !== undefined) this.#order.free(movedFrom, path);
    }
    this.#order.note(again);
    this.#report(batch);
    if (batch.some(({ reply }) => reply.status === "error")) this.#awaitDue();
    this.wake();
  }

  /** Names that the peer has refused because its disk took them for a path that is gone now: they are tried again. */
  #freedBy(gone: readonly RelativePath[], now: number): RelativePath[] {
    const folded = this.#folded;
    if (folded === null) return [];
    const { store } = this.#parts;
    const freed = store.pending.refusedWith(this.#peer, "unsupported_name")
      .filter((path) => gone.some((each) => folded.isAtOrBelow(path, each)));
    for (const path of freed) {
      store.pending.remove(this.#peer, path);
      replanPath(store, this.#peer, path, now);
    }
    return freed;
  }

  #recordOne(settled: Settled, now: number, again: RelativePath[]): void {
    const { path, reply } = settled;
    const waiting = this.#order.waitingFor(path);
    again.push(...waiting);
    this.#uncertain.answered(path, now);
    if (reply.status === "ok") {
      if (recordAck(this.#parts, settled, now)) this.#order.restart();
      if (settled.action !== "create") this.#roomWasMade();
      if (settled.action === "create" && settled.state !== null) this.#guard.arrived(path, settled.state);
      this.#folded?.keep(path, settled.state !== null);
      if (settled.state === null) again.push(...this.#freedBy([path], now));
      this.#declined.delete(path);
      this.#outdated.delete(path);
    } else if (isDeclined(settled)) {
      this.#declined.add(path);
      again.push(path);
    } else {
      recordFailure(this.#parts, settled, waiting, now, () => this.#parts.random.unit());
      // What is to be done instead, if the path has changed meanwhile.
      again.push(path);
      if (reply === STILL_THERE) this.#lastLooks.again(path);
      if (reply.code === "over_quota") this.#overQuota = true;
    }
  }

  /** Something was deleted at the peer, or may have become smaller: what found no room within its quota may find some now. */
  #roomWasMade(): void {
    if (!this.#overQuota || this.#cancelRoom !== null) return;
    const { store, clock } = this.#parts;
    this.#cancelRoom = clock.after(ROOM_MS, () => {
      this.#cancelRoom = null;
      if (this.#stopped) return;
      this.#overQuota = store.relaxedTransaction(() => store.pending.dueAfter(this.#peer, "over_quota")) > 0;
      this.rescan();
    });
  }

  #report(batch: readonly Settled[]): void {
    const { onEvent, onProgress, peer } = this.#parts;
    for (const settled of batch) {
      const { path, action, reply, silent } = settled;
      if (reply === STILL_THERE) continue;
      if (reply.status === "ok" && !silent) {
        onEvent({ kind: "sent", level: "detail", message: `${action} ${path}`, path, peer: peer.name });
      } else if (
        reply.status === "error" && !isDeclined(settled) && reply.code !== "changed_while_reading"
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

  /** Nothing is under way. */
  #rest(): void {
    this.#awaitDue();
    this.#parts.onProgress(null);
  }

  /** Sees to it that the next row that becomes due goes then, whatever else is under way. */
  #awaitDue(): void {
    const { store, clock } = this.#parts;
    const now = clock.now();
    // The time of a row that has come is left to the timer: the pass under way may be past that row.
    if (this.#dueMs !== null && this.#dueMs <= now) return;
    this.#cancelDue();
    this.#dueMs = store.pending.nextDueMs(this.#peer, now);
    if (this.#dueMs === null) return;
    this.#cancelDue = clock.after(Math.min(this.#dueMs - now, MAX_DUE_MS), () => {
      this.#dueMs = null;
      this.#awaitDue();
      this.rescan();
    });
  }

  #awaitNothing(): void {
    this.#cancelDue();
    this.#dueMs = null;
  }
}

const OK = { status: "ok", code: "", message: "" } as const;

/** Whether the peer was offered content that it does not have: it is sent then. To nothing else is that an answer. */
function isDeclined({ reply, offered }: Settled): boolean {
  return reply.code === "content_needed" && offered === true;
}
