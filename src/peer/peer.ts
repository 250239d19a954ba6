import type { EventSink } from "../domain/events.ts";
import type { RawHeader } from "../domain/header.ts";
import { type ErrorCode, messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address, Clock, FileTree, Listener, Network, Random } from "../domain/ports.ts";
import {
  countLeft,
  type PeerLinkStatus,
  type Problem,
  type RunStatus,
  type TransferProgress,
} from "../domain/status.ts";
import type { IdentitySource } from "../identity/identity_keeper.ts";
import { formatAddress } from "../link/address.ts";
import { limitsOf } from "../link/limits.ts";
import type { Link } from "../link/link.ts";
import { LinkManager } from "../link/link_manager.ts";
import { Receiver } from "../receive/receiver.ts";
import { heldProblems } from "../send/deletion_guard.ts";
import { noteChanges } from "../send/pending_plan.ts";
import { Sender } from "../send/sender.ts";
import type { Peer } from "../store/peers.ts";
import type { Store } from "../store/store.ts";
import { noteDamaged } from "../verify/known_damage.ts";
import type { Change } from "../watch/sighting.ts";
import { Observer } from "../watch/observer.ts";
import { unreadProblem } from "../watch/unread.ts";
import type { FrameReader } from "../wire/frame_reader.ts";
import { EXTENSIONS, PROTOCOL_VERSION } from "../wire/hello.ts";
import { knownProblems } from "./known_problems.ts";
import { type OnceResult, whenDone } from "./once.ts";
import { PairingHost } from "./pairing_host.ts";
import { Refusals } from "./refusals.ts";
import { Rotation } from "./rotation.ts";
import type { Settings } from "./settings.ts";
import { Traffic } from "./traffic.ts";
import { TransferRates } from "./transfer_rates.ts";
import { Verification } from "./verification.ts";

/** All that a peer is built from. Every port is handed in. */
export interface PeerParts {
  readonly name: string;
  /** Whom this peer shows itself as; the network asks the same one. */
  readonly keeper: IdentitySource;
  readonly pid: number;
  readonly system: "windows" | "unix";
  readonly store: Store;
  readonly watched: FileTree;
  readonly synced: FileTree;
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  readonly settings: Settings;
  /** Where to listen. */
  readonly listen: Address;
  /** An address to dial in addition to those that the peers have; whoever of the trusted peers answers there is welcome. */
  readonly dial: Address | null;
  /** End as soon as neither side can get any further. */
  readonly once: boolean;
  readonly onEvent: EventSink;
}

/** A running peer. */
export interface RunningPeer {
  status(): RunStatus;
  /** With `once`: resolves when nothing can get any further. Without: never. */
  readonly finished: Promise<OnceResult>;
  /** Ends cleanly: what was received is committed, everything is closed. */
  stop(): Promise<void>;
}

/** Bytes that a peer may send before we have taken them. */
const WINDOW_BYTES = 4 * 1024 * 1024;
/** The same under a limit: what is on its way is in the way of what comes after. Less would leave no room for other programs' pieces. */
const LIMITED_WINDOW_BYTES = 2 * 1024 * 1024;
/** How often the database is looked at for what other processes want, and the status is written for them to read. */
const POLL_MS = 500;
const DAY_MS = 86_400_000;
/** How often the log is brought down to its age. */
const PRUNE_MS = 3_600_000;
/** How long a peer may answer nothing of what was sent before it is said. */
const UNANSWERED_MS = 120_000;
/** Attempts after which `once` counts a path as one that it cannot get any further with. */
const ONCE_ATTEMPTS = 3;

/** What is known of one trusted peer while we run. */
interface Partner {
  readonly peer: Peer;
  readonly sender: Sender;
  /** Whether the other side has said that it has nothing left to send. */
  theySettled: boolean;
  /** What we have told it of ourselves on this link. */
  told: "busy" | "settled" | "complete" | null;
  /** Whether it was said that everything is there since something was sent last. */
  isToldInSync: boolean;
  sinceMs: number;
  reason: string | null;
}

/** Builds a peer and starts it: recovers what a crash left, listens, scans, dials. */
export async function startPeer(parts: PeerParts): Promise<RunningPeer> {
  const peer = new PeerRun(parts);
  try {
    await peer.start();
  } catch (error) {
    await peer.stop();
    throw error;
  }
  return peer;
}

/** The rooms put together: who tells whom. */
class PeerRun implements RunningPeer {
  readonly #parts: PeerParts;
  readonly #startedMs: number;
  readonly #partners = new Map<number, Partner>();
  readonly #traffic: Traffic;
  readonly #rates: TransferRates;
  #receiver: Receiver | null = null;
  #links: LinkManager | null = null;
  #listener: Listener | null = null;
  #observer: Observer | null = null;
  #verification: Verification | null = null;
  readonly #rotation: Rotation;
  #scanned = false;
  #scanSeenMs: number | null = null;
  #scanning: Promise<unknown> = Promise.resolve();
  #counts = { sent: 0, received: 0 };
  #lastPath: string | null = null;
  readonly #refusedForRoom: Refusals;
  /** What was refused for a peer's quota, by the peer's name. */
  readonly #refusedForQuota = new Map<string, Refusals>();
  /** Of a run with `once`: since when there is nothing to do here but to wait; monotonic milliseconds. */
  #waitingSince = 0;
  #changesSeen = 0;
  #prunedMs = 0;
  #tellingSoon = false;
  #statusWritten = "";
  #cancelPoll: () => void = () => {};
  #cancelOnce: () => void = () => {};
  #stopped = false;
  #resolveFinished!: (result: OnceResult) => void;
  readonly finished: Promise<OnceResult>;

  constructor(parts: PeerParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.now();
    this.#refusedForRoom = new Refusals(parts.clock);
    this.#traffic = new Traffic(parts.clock);
    this.#rates = new TransferRates(parts.clock);
    this.#rotation = new Rotation({
      ...parts,
      linkTo: (peer) => this.#links?.linkTo(peer) ?? null,
      onChanged: () => {
        const reason = "this side has a new identity and dials again";
        this.#links?.reconnect(new MirrorError("link_closed", reason));
      },
    });
    this.finished = new Promise((resolve) => this.#resolveFinished = resolve);
  }

  async start(): Promise<void> {
    const { store, watched, synced, network, clock, random, system, settings, onEvent } = this.#parts;
    const receiver = await Receiver.open({
      tree: synced,
      store,
      clock,
      random,
      system,
      quotaBytes: settings.quotaBytes,
      trash: settings.trash ? { days: settings.trashDays, bytes: settings.trashBytes } : null,
      onEvent,
      onDamage: (peer, path) => noteDamaged(store, peer, path, clock.now()),
      onReceived: (peer, operation, outcome) => {
        if (outcome.status === "ok") {
          this.#counts.received++;
          this.#lastPath = operation.path;
          this.#refusedForRoom.arrived(peer, operation.path);
          this.#refusedForQuota.get(peer)?.arrived(peer, operation.path);
          onEvent({
            kind: "received",
            level: "detail",
            message: `${operation.action} ${operation.path}`,
            path: operation.path,
            peer,
          });
        } else this.#onRefused(peer, operation.path, outcome.code);
        this.#tellSettledSoon();
      },
      onRefused: (peer, path, code) => this.#onRefused(peer, path, code),
    });
    this.#receiver = receiver;
    this.#verification = new Verification({
      ...{ store, watched, synced, clock, random },
      exclusive: (work) => receiver.exclusive(work),
      partners: () =>
        [...this.#partners.values()].map(({ peer, sender }) => ({
          peer,
          link: this.#links?.linkTo(peer.number) ?? null,
          compare: () => sender.compareNow(),
        })),
      transferred: () => this.#transfers().reduce((sum, { doneBytes }) => sum + doneBytes, 0),
      onProblem: (message) => onEvent({ kind: "problem", level: "warning", message }),
    });
    const limit = settings.limitBytesPerSecond;
    const links = new LinkManager({
      network,
      clock,
      random,
      fingerprint: () => this.#parts.keeper.current.fingerprint,
      hello: {
        version: PROTOCOL_VERSION,
        extensions: new Set(EXTENSIONS),
        name: this.#parts.name,
        process: random.uuid(),
        folding: receiver.folding,
        windowBytes: limit === null ? WINDOW_BYTES : LIMITED_WINDOW_BYTES,
        ...(limit === null ? {} : { receiveBytesPerSecond: limit }),
      },
      limits: limit === null ? null : limitsOf(limit, clock),
      peers: () => store.peers.list(),
      dial: this.#parts.dial,
      onFrame: (link, header, content) => this.#onFrame(link, header, content),
      onUp: (link) => this.#onUp(link),
      release: async (link, reason) => {
        await receiver.release(link);
        this.#onDown(link, reason);
      },
      answered: (link) => receiver.answered(link),
      onDialFailure: (peer, error) => this.#onDialFailure(peer?.number ?? null, error),
    });
    this.#links = links;
    this.#refreshPartners();
    this.#listener = await network.listen(
      this.#parts.listen,
      (connection) => links.accept(connection),
      this.#pairingHost(),
    );
    onEvent({
      kind: "listening",
      level: "info",
      message: `listening on ${formatAddress(this.#listener.address)}`,
    });
    this.#observer = new Observer({
      tree: watched,
      store,
      clock,
      scanIntervalMs: settings.scanIntervalMs,
      onChanges: (changes) => this.#onChanges(changes),
      onEvent,
    });
    links.start();
    this.#scanning = Promise.all([this.#firstScan(this.#observer), this.#inspectSynced(receiver)]);
    this.#changesSeen = store.foreignChanges();
    this.#poll();
    if (this.#parts.once) {
      const once = whenDone({
        clock,
        linked: () => this.#linked().length > 0,
        settled: () => this.#allSettled(),
        problem: () => this.#observer?.scanProblem ?? null,
        unread: () => unreadProblem(store)?.message ?? null,
        silentMs: () => this.#silentMs(),
        left: () => this.#left(),
      });
      this.#cancelOnce = once.cancel;
      once.result.then(this.#resolveFinished);
    }
  }

  #onRefused(peer: string, path: string | null, code: ErrorCode): void {
    if (code === "no_space") this.#refusedForRoom.note(peer, path);
    if (code !== "over_quota") return;
    const refusals = this.#refusedForQuota.get(peer) ?? new Refusals(this.#parts.clock);
    this.#refusedForQuota.set(peer, refusals);
    refusals.note(peer, path);
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancelPoll();
    this.#cancelOnce();
    this.#listener?.close();
    this.#verification?.stop();
    await this.#observer?.stop();
    await this.#scanning;
    await this.#links?.stop();
    await this.#verification?.ended();
    await this.#rotation.ended();
    await this.#receiver?.close();
    for (const { sender } of this.#partners.values()) sender.stop();
    this.#parts.store.facts.remove("run");
  }

  #pairingHost(): PairingHost {
    const { store, clock, keeper, name, onEvent } = this.#parts;
    return new PairingHost({
      ...{ store, clock, name, fingerprint: () => keeper.current.fingerprint },
      onPaired: (peer) => {
        const where = peer.address === null ? "" : ` at ${peer.address}`;
        onEvent({
          kind: "paired",
          level: "info",
          message: `paired with ${peer.name}${where}`,
          peer: peer.name,
        });
        this.#refreshPartners();
      },
      onRefused: (message) => onEvent({ kind: "problem", level: "warning", message }),
    });
  }

  /** Edits by hand that were made while nothing ran are kept at once, whether a peer comes or not. */
  async #inspectSynced(receiver: Receiver): Promise<void> {
    try {
      for (const peer of this.#parts.store.peers.list()) await receiver.inspect(peer);
    } catch (error) {
      const message = `synced/ could not be looked through: ${messageOf(error)}`;
      this.#parts.onEvent({ kind: "problem", level: "warning", message });
    }
  }

  /** Nothing is sent before the first scan has ended: until then the database may know less than the disk. */
  async #firstScan(observer: Observer): Promise<void> {
    try {
      await observer.start();
    } catch (error) {
      this.#parts.onEvent({
        kind: "problem",
        level: "warning",
        message: `watched/ could not be scanned: ${messageOf(error)}`,
      });
      return;
    }
    this.#onScans();
  }

  /** Goes on after a full scan: the first one opens the way for sending, later ones for another comparison of the trees. */
  #onScans(): void {
    const lastMs = this.#observer?.status().scan.lastMs ?? null;
    // A scan that found the folder missing is none: nothing may be concluded from it.
    if (this.#stopped || lastMs === this.#scanSeenMs) return;
    this.#scanSeenMs = lastMs;
    for (const partner of this.#partners.values()) {
      if (this.#scanned) partner.sender.compare();
    }
    this.#scanned = true;
    for (const partner of this.#partners.values()) {
      if (!partner.sender.isAttached) this.#attach(partner);
    }
  }

  /** Called inside the transaction that recorded the observations: what is pending is recorded with them. */
  #onChanges(changes: readonly Change[]): void {
    const { store, clock } = this.#parts;
    // A peer can have been removed by a command a moment ago: its rows can take nothing any more.
    const peers = [...this.#partners.keys()].filter((number) => store.peers.has(number));
    const noted = noteChanges(store, peers, changes, clock.now());
    const paths = changes.map((change) => change.path);
    queueMicrotask(() => {
      for (const [number, { sender }] of this.#partners) sender.note(paths, noted.get(number));
      this.#tellSettled();
    });
  }

  async #onFrame(link: Link, header: RawHeader, content: FrameReader): Promise<void> {
    // A client without a hello gives no link of which `status` could tell.
    if (link.hello === null && !link.connection.dialled && link.framesRead === 1) this.#markSeen(link);
    if (header["action"] === "settled" && link.has("settled")) {
      const partner = this.#partners.get(link.peer.number);
      if (partner !== undefined) partner.theySettled = header["value"] === true;
      if (header["complete"] === true) await this.#receiver!.completed(link.peer);
      return;
    }
    if (header["action"] === "rotate" && link.has("rotation")) return this.#rotation.take(link, header);
    if (header["action"] === "resume" && link.has("pieces")) {
      return await this.#partners.get(link.peer.number)?.sender.resume(header, content);
    }
    if (link.has("verify") && await this.#verification!.takes(link, header, content)) return;
    await this.#receiver!.onFrame(link, header, content);
  }

  #onUp(link: Link): void {
    const { clock, onEvent } = this.#parts;
    // A peer that another process has added a moment ago may be here before it was noticed.
    if (this.#rotation.linked(link) || !this.#partners.has(link.peer.number)) this.#refreshPartners();
    const partner = this.#partners.get(link.peer.number);
    if (partner === undefined) return;
    this.#markSeen(link);
    partner.theySettled = !link.has("settled");
    partner.told = null;
    partner.isToldInSync = false;
    partner.sinceMs = clock.now();
    partner.reason = null;
    const how = link.hello === null ? ", which speaks the plain protocol only" : "";
    const where = `${link.connection.dialled ? "to" : "from"} ${link.connection.remoteAddress}`;
    onEvent({
      kind: "link_up",
      level: "info",
      message: `linked with ${link.peer.name} (${where})${how}`,
      peer: link.peer.name,
    });
    this.#attach(partner);
    this.#rotation.poll();
  }

  #attach(partner: Partner): void {
    const link = this.#links?.linkTo(partner.peer.number) ?? null;
    if (link !== null && this.#scanned && !link.isClosed) partner.sender.attach(link);
  }

  #onDown(link: Link, reason: MirrorError): void {
    this.#traffic.keep(link);
    const partner = this.#partners.get(link.peer.number);
    const wasSending = link.hello !== null || link.connection.dialled;
    if (!wasSending) this.#markSeen(link);
    if (partner === undefined || !wasSending || this.#links?.linkTo(link.peer.number)) return;
    if (reason.code === "duplicate_link") {
      // As a rule the other one is there in a moment.
      partner.reason = reason.message;
      return;
    }
    const { clock, onEvent } = this.#parts;
    this.#markSeen(link);
    partner.sinceMs = clock.now();
    partner.reason = reason.message;
    partner.theySettled = false;
    if (this.#stopped) return;
    onEvent({
      kind: "link_down",
      level: "info",
      message: `no link with ${link.peer.name}: ${reason.message}`,
      peer: link.peer.name,
    });
  }

  #markSeen(link: Link): void {
    this.#parts.store.peers.markSeen(link.peer.number, this.#parts.clock.now());
  }

  #onDialFailure(number: number | null, error: MirrorError): void {
    const concerned = number === null ? [...this.#partners.values()] : [this.#partners.get(number)];
    for (const partner of concerned) {
      if (partner === undefined || this.#links?.linkTo(partner.peer.number)) continue;
      if (partner.reason === error.message) continue;
      partner.reason = error.message;
      const level = error.code === "not_trusted" ? "warning" : "info";
      if (error.code === "not_trusted") this.#noteNotTrusted(partner.peer.name, error);
      this.#parts.onEvent({ kind: "link_down", level, message: error.message, peer: partner.peer.name });
    }
  }

  /** Somebody else answered in the place of a peer: what was dialled is in the message. */
  #noteNotTrusted(peer: string, error: MirrorError): void {
    const { store, clock } = this.#parts;
    const entry = { atMs: clock.now(), kind: "peer_refused", subject: peer, detail: error.message } as const;
    store.audit.recordOften(entry);
  }

  /** Brings the partners in line with the table of peers. */
  #refreshPartners(): void {
    const { store, watched, clock, random, name, system, onEvent } = this.#parts;
    const peers = store.peers.list();
    for (const [number, partner] of this.#partners) {
      if (peers.some((peer) => peer.number === number)) continue;
      partner.sender.stop();
      this.#partners.delete(number);
    }
    for (const peer of peers) {
      const known = this.#partners.get(peer.number);
      if (known !== undefined) {
        if (JSON.stringify(known.peer) !== JSON.stringify(peer)) {
          this.#partners.set(peer.number, { ...known, peer });
        }
        continue;
      }
      const sender = new Sender({
        peer,
        store,
        tree: watched,
        clock,
        random,
        name,
        hasModes: system === "unix",
        onEvent,
        lookAgain: (path) => this.#observer?.lookAgain(path),
        scanning: () => this.#observer?.status().scan.running ?? false,
        onProgress: (path) => {
          if (path !== null) {
            this.#counts.sent++;
            const partner = this.#partners.get(peer.number);
            if (partner !== undefined) partner.isToldInSync = false;
            this.#lastPath = path;
          }
          this.#tellSettledSoon();
        },
      });
      const fresh = {
        theySettled: false,
        told: null,
        isToldInSync: false,
        sinceMs: clock.now(),
        reason: null,
      };
      this.#partners.set(peer.number, { peer, sender, ...fresh });
    }
    this.#links?.refresh();
  }

  /** The same at the end of this turn, once for everything that happens in it: finding out takes a look into the database. */
  #tellSettledSoon(): void {
    if (this.#tellingSoon) return;
    this.#tellingSoon = true;
    this.#parts.clock.after(0, () => {
      this.#tellingSoon = false;
      if (!this.#stopped) this.#tellSettled();
    });
  }

  /** Tells each peer whether we have something left to send, when that has changed. */
  #tellSettled(): void {
    for (const partner of this.#partners.values()) {
      const link = this.#links?.linkTo(partner.peer.number) ?? null;
      if (link === null) continue;
      const settled = this.#isSettled(partner);
      const complete = settled && partner.sender.inSync;
      if (complete && !partner.isToldInSync) {
        partner.isToldInSync = true;
        this.#tellInSync(partner.peer.name);
      }
      const told = complete ? "complete" : settled ? "settled" : "busy";
      if (!link.has("settled") || partner.told === told) continue;
      partner.told = told;
      link.reply({ action: "settled", value: settled, ...(complete ? { complete } : {}) });
    }
  }

  #tellInSync(peer: string): void {
    const skipped = this.#parts.store.skipped.count();
    const message = skipped === 0
      ? `everything in watched/ is on ${peer}`
      : `everything in watched/ is on ${peer}, but for what is not sent (${skipped}: see \`mirrorsync status\`)`;
    this.#parts.onEvent({ kind: "in_sync", level: "info", message, peer });
  }

  #isSettled(partner: Partner): boolean {
    return this.#scanned && this.#observer!.idle() && partner.sender.canGetNoFurther(ONCE_ATTEMPTS);
  }

  /** For how long the linked peers have been waited for, and have done nothing. */
  #silentMs(): number {
    const now = this.#parts.clock.monotonic();
    if (!this.#scanned || !this.#observer!.idle() || this.#receiver!.busy) this.#waitingSince = now;
    return Math.min(now - this.#waitingSince, ...this.#linked().map((link) => link.silentMs));
  }

  /** The links to peers that are sent to. */
  #linked(): Link[] {
    return [...this.#partners.keys()].flatMap((number) => this.#links!.linkTo(number) ?? []);
  }

  #allSettled(): boolean {
    this.#tellSettled();
    return !this.#receiver!.busy &&
      [...this.#partners.values()].every((partner) =>
        this.#links!.linkTo(partner.peer.number) === null || (partner.theySettled && this.#isSettled(partner))
      );
  }

  #left(): number {
    let left = 0;
    for (const { peer } of this.#partners.values()) {
      left += countLeft(this.#parts.store.pending.totals(peer.number));
    }
    return left;
  }

  /** Looks for what other processes have changed, and writes down how things stand. */
  #poll(): void {
    const { store, clock, settings, onEvent } = this.#parts;
    try {
      const changes = store.foreignChanges();
      if (changes !== this.#changesSeen) {
        this.#changesSeen = changes;
        this.#refreshPartners();
        for (const { sender } of this.#partners.values()) sender.rescan();
        for (const partner of this.#partners.values()) {
          if (!this.#scanned || partner.sender.isAttached) continue;
          this.#attach(partner);
        }
      }
      this.#onScans();
      this.#verification?.poll();
      this.#rotation.poll();
      if (clock.monotonic() - this.#prunedMs > PRUNE_MS || this.#prunedMs === 0) {
        this.#prunedMs = clock.monotonic();
        store.log.prune(clock.now() - settings.logDays * DAY_MS);
        store.audit.prune(clock.now() - settings.auditDays * DAY_MS);
        store.chunkLists.sweep();
        store.departed.sweep(clock.now());
        void this.#receiver?.sweep();
      }
      this.#tellSettled();
      const status = this.status();
      // Keep-alive alone is no news: a peer at rest writes nothing.
      const shown = JSON.stringify({
        ...status,
        atMs: 0,
        rate: null,
        total: { ...status.total, sentBytes: 0, receivedBytes: 0 },
      });
      if (shown !== this.#statusWritten) {
        // Worth nothing after a power cut: nobody waits for the disk.
        store.relaxedTransaction(() => store.facts.set("run", status));
        this.#statusWritten = shown;
      }
      store.rest();
    } catch (error) {
      onEvent({
        kind: "problem",
        level: "warning",
        message: `the database could not be read or written: ${messageOf(error)}`,
      });
    }
    this.#cancelPoll = clock.after(POLL_MS, () => this.#poll());
  }

  status(): RunStatus {
    const { clock, name, keeper, pid, watched, synced, store } = this.#parts;
    const links = [...this.#links?.links() ?? []];
    const total = this.#traffic.total(links);
    const observed = this.#observer?.status() ?? null;
    return {
      pid,
      startedMs: this.#startedMs,
      atMs: clock.now(),
      name,
      fingerprint: keeper.current.fingerprint,
      listen: this.#listener === null ? null : formatAddress(this.#listener.address),
      watched: watched.root,
      synced: synced.root,
      peers: [...this.#partners.values()].map((partner) => this.#linkStatus(partner)),
      transfers: this.#rates.measure(this.#transfers()),
      limitBytesPerSecond: this.#parts.settings.limitBytesPerSecond,
      rate: this.#traffic.rate(links),
      total: {
        sentBytes: total.sent,
        receivedBytes: total.received,
        sent: this.#counts.sent,
        received: this.#counts.received,
      },
      watcher: observed?.watcher ?? "starting",
      scan: observed?.scan ?? { running: false, lastMs: null, lastTookMs: null },
      skipped: store.skipped.count(),
      lastPath: this.#lastPath,
      problems: this.#problems(observed?.problem ?? null),
    };
  }

  #transfers(): TransferProgress[] {
    const sending = [...this.#partners.values()].flatMap(({ sender }) => sender.transfers());
    return [...sending, ...this.#receiver?.transfers() ?? []];
  }

  #linkStatus({ peer, sender, sinceMs, reason }: Partner): PeerLinkStatus {
    const link = this.#links?.linkTo(peer.number) ?? null;
    const dials = peer.address !== null || this.#parts.dial !== null;
    return {
      name: peer.name,
      fingerprint: peer.fingerprint,
      address: peer.address,
      link: link !== null ? "up" : dials ? "connecting" : "down",
      protocol: link === null ? null : link.hello === null ? "plain" : "full",
      remoteAddress: link?.connection.remoteAddress ?? null,
      sinceMs,
      reason: link === null ? reason : null,
      pending: this.#parts.store.pending.totals(peer.number),
      clockAheadMs: inSeconds(link?.clockAheadMs ?? null),
      inSync: link !== null && this.#scanned && this.#observer!.idle() && sender.inSync,
    };
  }

  #problems(observing: Problem | null): Problem[] {
    const problems = [...observing === null ? [] : [observing], ...knownProblems(this.#parts.store)];
    const noSpaceMs = this.#refusedForRoom.sinceMs();
    if (noSpaceMs !== null) {
      const message =
        `the disk that holds ${this.#parts.synced.root} is full: what the peer sends waits there until there is room`;
      problems.push({ code: "no_space", message, sinceMs: noSpaceMs });
    }
    for (const [peer, refusals] of this.#refusedForQuota) {
      const sinceMs = refusals.sinceMs();
      if (sinceMs === null) continue;
      const message =
        `${peer} has used up its quota here: what it sends beyond waits there until it deletes something, or ` +
        "the quota is raised (--quota)";
      problems.push({ code: "over_quota", message, sinceMs });
    }
    for (const { peer } of this.#partners.values()) {
      const link = this.#links?.linkTo(peer.number) ?? null;
      const silentMs = link?.silentMs ?? 0;
      if (link?.isAwaiting === true && silentMs >= UNANSWERED_MS) {
        const message =
          `${peer.name} has not answered for a while (its disk may hang, or it is very busy): what was sent may not be ` +
          "there yet, and goes again if the link is lost";
        // To the minute, so that there is news only now and then.
        const sinceMs = Math.floor((this.#parts.clock.now() - silentMs) / 60_000) * 60_000;
        problems.push({ code: "peer_silent", message, sinceMs });
      }
      const over = this.#parts.store.pending.firstWithCode(peer.number, "over_quota");
      if (over !== null) {
        const message = `the quota on ${peer.name} is used up (${
          over.reason ?? ""
        }): changes wait here and are tried again`;
        problems.push({ code: "peer_over_quota", message, sinceMs: over.sinceMs });
      }
      problems.push(...heldProblems(this.#parts.store, peer));
      const full = this.#parts.store.pending.firstWithCode(peer.number, "no_space");
      if (full === null) continue;
      const message = `the disk of ${peer.name} is full (${
        full.reason ?? ""
      }): changes wait here and are tried again`;
      problems.push({ code: "peer_no_space", message, sinceMs: full.sinceMs });
    }
    return problems;
  }
}

/** Rounded, so that a peer at rest has no news. */
function inSeconds(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms / 1000) * 1000;
}
