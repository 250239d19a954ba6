import { idOf, type RawHeader } from "../domain/header.ts";
import { linkThatStays } from "../domain/link_choice.ts";
import { codeOf, messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address, Clock, Connection, Network, Random } from "../domain/ports.ts";
import { type Hello, helloFields, parseHello } from "../wire/hello.ts";
import { Dialler } from "./dialler.ts";
import { formatAddress, parseAddress } from "./address.ts";
import { notTrustedThere } from "./network_errors.ts";
import type { Limits } from "./limits.ts";
import { type FrameHandler, Link } from "./link.ts";

/** A peer as the links need it. */
export interface LinkPeer {
  readonly number: number;
  readonly name: string;
  readonly fingerprint: string;
  /** The certificate that it has announced as its next one, trusted beside the present one. */
  readonly next: { readonly fingerprint: string } | null;
  readonly address: string | null;
  /** Where else it is dialled when it is not there. */
  readonly otherAddresses: readonly string[];
}

export interface LinkManagerParts {
  readonly network: Network;
  readonly clock: Clock;
  readonly random: Random;
  /** Of the certificate that we show now. */
  readonly fingerprint: () => string;
  /** What we say of ourselves on every link. */
  readonly hello: Hello;
  /** How fast all links together may send and receive; as fast as they can without it. */
  readonly limits?: Limits | null;
  /** The peers that are trusted now. */
  readonly peers: () => readonly LinkPeer[];
  /** An address to dial beside those of the peers. */
  readonly dial: Address | null;
  /** Takes every frame that the link does not answer by itself. */
  readonly onFrame: FrameHandler;
  /** A link on which operations can be sent is up. */
  readonly onUp: (link: Link) => void;
  /**
   * A link has ended: resolves when nothing that came by it can be applied any more. A link that takes its place is answered
   * only then.
   */
  readonly release: (link: Link, reason: MirrorError) => Promise<void>;
  /** All that a half-closing client sent was answered. */
  readonly answered: (link: Link) => Promise<void>;
  readonly onDialFailure: (peer: LinkPeer | null, error: MirrorError, nextMs: number) => void;
}

/** How long the answer to a hello may take. */
const HELLO_DEADLINE_MS = 10_000;
/** How long an old link has to answer a ping when a new one asks for its place. */
const STILL_THERE_MS = 2_000;
/** Links without hello that one peer may hold at once. */
const MAX_PLAIN_LINKS = 16;
/** Connections of one peer that have not said anything yet: the oldest makes room for a new one. */
const MAX_SILENT_LINKS = 16;
/** While something is not linked, the clock is looked at this often for a jump: the machine was asleep. */
const WAKE_CHECK_MS = 2_000;

function isCertificateOf(peer: LinkPeer, fingerprint: string): boolean {
  return peer.fingerprint === fingerprint || peer.next?.fingerprint === fingerprint;
}

/**
 * Keeps one link to each trusted peer: accepts, dials, says hello, and decides which of two links stays. Links of clients that
 * say no hello stand beside that one.
 */
export class LinkManager {
  readonly #parts: LinkManagerParts;
  /** The link on which we send to a peer, by the peer's number. */
  readonly #current = new Map<number, Link>();
  readonly #all = new Set<Link>();
  /** When all that a link brought is done with, once it has ended. */
  readonly #endings = new WeakMap<Link, Promise<void>>();
  /** Those that the peer has dialled and nothing has come on, the oldest first. */
  readonly #silent = new Set<Link>();
  readonly #served = new Set<Promise<void>>();
  readonly #diallers = new Map<string, Dialler>();
  readonly #waitingForLoss = new Set<() => void>();
  /** Answers to hellos, one after the other for each peer, so that two links cannot both win. */
  readonly #turn = new Map<number, Promise<unknown>>();
  #stopped = false;
  #cancelWakeCheck: () => void = () => {};

  constructor(parts: LinkManagerParts) {
    this.#parts = parts;
  }

  /** Starts dialling. */
  start(): void {
    this.refresh();
    this.#watchForWake(this.#parts.clock.now());
  }

  /** The link on which operations can be sent to a peer. */
  linkTo(peer: number): Link | null {
    return this.#current.get(peer) ?? null;
  }

  /** The live links of all kinds. */
  links(): Iterable<Link> {
    return this.#all;
  }

  /** Brings links and diallers in line with the peers that are trusted now. */
  refresh(): void {
    if (this.#stopped) return;
    const peers = this.#parts.peers();
    for (const link of [...this.#all]) {
      if (!peers.some((peer) => isCertificateOf(peer, link.connection.peerFingerprint))) {
        link.close(new MirrorError("not_trusted", `${link.peer.name} is no longer a trusted peer`));
      }
    }
    const wanted = new Map<string, { addresses: Address[]; peer: LinkPeer | null }>();
    for (const peer of peers) {
      if (peer.address === null) continue;
      const all = [peer.address, ...peer.otherAddresses];
      wanted.set([peer.fingerprint, ...all].join(" "), { addresses: all.map(parseAddress), peer });
    }
    if (this.#parts.dial !== null) {
      wanted.set(`* ${formatAddress(this.#parts.dial)}`, { addresses: [this.#parts.dial], peer: null });
    }
    for (const [key, dialler] of this.#diallers) {
      if (wanted.has(key)) continue;
      this.#diallers.delete(key);
      this.#track(dialler.stop());
    }
    for (const [key, { addresses, peer }] of wanted) {
      if (!this.#diallers.has(key)) this.#diallers.set(key, this.#dialler(addresses, peer));
    }
  }

  /** Takes over a connection that was dialled by the peer. */
  accept(connection: Connection): void {
    const peer = this.#peerOf(connection);
    if (peer === null || this.#stopped) return connection.close();
    const link = this.#newLink(connection, peer);
    this.#silent.add(link);
    this.#boundSilent(peer);
    let first = true;
    this.#serve(link, async (l, header, content) => {
      const isFirst = first;
      first = false;
      this.#silent.delete(link);
      if (header["action"] !== "hello") {
        if (isFirst) {
          // Whoever dials in shows that the way is open: no need to wait for the next attempt of our own.
          this.#kick();
          if (!this.#plainLinkFits(l)) return;
        }
        return this.#parts.onFrame(l, header, content);
      }
      if (l.framesRead > 1) {
        return l.refuse(idOf(header), "bad_hello", "a hello must be the first frame of a link");
      }
      await this.#answerHello(l, header);
      // The same, but only now: our own attempt would have made a second link while this one was not up yet, and one had to go.
      this.#kick();
    });
  }

  /** Ends every link, to make them anew: what was sent and not answered is sent again. */
  reconnect(reason: MirrorError): void {
    for (const link of [...this.#all]) link.close(reason);
    this.#kick();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelWakeCheck();
    for (const dialler of this.#diallers.values()) this.#track(dialler.stop());
    this.#diallers.clear();
    for (const link of [...this.#all]) {
      link.close(new MirrorError("link_closed", "this side is shutting down"));
    }
    while (this.#served.size > 0) await Promise.all(this.#served);
  }

  #peerOf(connection: Connection): LinkPeer | null {
    return this.#parts.peers().find((peer) => isCertificateOf(peer, connection.peerFingerprint)) ?? null;
  }

  #newLink(connection: Connection, peer: LinkPeer): Link {
    const { clock, random, limits = null } = this.#parts;
    const { number, name } = peer;
    const link = new Link({ connection, peer: { number, name }, clock, random, limits });
    this.#all.add(link);
    const ending = link.closed.then((reason) => this.#ended(link, reason));
    this.#endings.set(link, ending);
    this.#track(ending);
    return link;
  }

  /** Reads a link's frames until it ends, then ends it. */
  #serve(link: Link, onFrame: FrameHandler): void {
    this.#track((async () => {
      const error = await link.serve(onFrame);
      if (error === null && link.hello === null) {
        // The client has ended its direction: it still gets its replies.
        await Promise.race([this.#parts.answered(link), link.closed]);
        await link.flushAndEnd();
      }
      link.close(error ?? new MirrorError("link_closed", "the peer ended the link"));
    })());
  }

  async #ended(link: Link, reason: MirrorError): Promise<void> {
    this.#all.delete(link);
    this.#silent.delete(link);
    if (this.#current.get(link.peer.number) === link) this.#current.delete(link.peer.number);
    await this.#parts.release(link, reason);
    for (const wake of [...this.#waitingForLoss]) wake();
  }

  #boundSilent(peer: LinkPeer): void {
    const silent = [...this.#silent].filter((link) => link.peer.number === peer.number);
    const [oldest] = silent;
    if (oldest === undefined || silent.length <= MAX_SILENT_LINKS) return;
    this.#silent.delete(oldest);
    oldest.close(
      new MirrorError(
        "not_accepting",
        `${peer.name} holds more than ${MAX_SILENT_LINKS} links and says nothing`,
      ),
    );
  }

  #plainLinkFits(link: Link): boolean {
    const plain = [...this.#all].filter((l) => l.peer.number === link.peer.number && l.hello === null);
    if (plain.length <= MAX_PLAIN_LINKS) return true;
    link.close(
      new MirrorError(
        "not_accepting",
        `${link.peer.name} holds more than ${MAX_PLAIN_LINKS} links without a hello`,
      ),
    );
    return false;
  }

  /** Answers a hello, after the answers to earlier ones of the same peer. */
  #answerHello(link: Link, header: RawHeader): Promise<void> {
    const before = this.#turn.get(link.peer.number) ?? Promise.resolve();
    const mine = before.then(() => this.#decideOn(link, header));
    this.#turn.set(link.peer.number, mine);
    return mine;
  }

  async #decideOn(link: Link, header: RawHeader): Promise<void> {
    const id = idOf(header);
    if (link.isClosed) return;
    const heard = this.#parts.clock.monotonic();
    let theirs: Hello;
    try {
      theirs = parseHello(header);
    } catch (error) {
      return link.refuse(id, codeOf(error, "bad_hello"), messageOf(error));
    }
    if (!await this.#takesTheLink(link, theirs, false)) {
      link.refuse(id, "duplicate_link", "there is a link already, and it stays");
      return;
    }
    if (link.isClosed) return;
    link.becomeFull(theirs, this.#parts.hello, heard);
    link.reply({ status: "ok", id, ...this.#helloFields() });
    this.#up(link);
  }

  /** What we say of ourselves, with what our clock says now. */
  #helloFields(): object {
    return helloFields({ ...this.#parts.hello, timeMs: this.#parts.clock.now() });
  }

  /** Whether a fresh link stays; if so, the one before it is ended, and all that came by it is done with. */
  async #takesTheLink(fresh: Link, theirs: Hello, dialled: boolean): Promise<boolean> {
    const old = this.#current.get(fresh.peer.number);
    if (old === undefined || old === fresh) return true;
    const dialler = (byUs: boolean) => byUs ? this.#parts.fingerprint() : fresh.connection.peerFingerprint;
    const stays = old.hello === null ? "fresh" : linkThatStays(
      { diallerFingerprint: dialler(old.connection.dialled), peerProcess: old.hello.process },
      { diallerFingerprint: dialler(dialled), peerProcess: theirs.process },
    );
    if (stays === "old" && await this.#answers(old)) return false;
    old.close(new MirrorError("duplicate_link", "another link to the peer took its place"));
    await this.#endings.get(old);
    return true;
  }

  /** Whether a link that is to stay is alive: the peer would not dial if it thought so, unless both dialled at once. */
  #answers(link: Link): Promise<boolean> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.after(STILL_THERE_MS, () => resolve(false));
      const settle = (alive: boolean) => {
        cancel();
        resolve(alive);
      };
      const ping = { id: this.#parts.random.uuid(), action: "ping" };
      link.request("control", ping).then(() => settle(true), () => settle(false));
    });
  }

  #up(link: Link): void {
    this.#current.set(link.peer.number, link);
    this.#parts.onUp(link);
  }

  #dialler(addresses: readonly Address[], peer: LinkPeer | null): Dialler {
    const { network, clock, random } = this.#parts;
    let answering = peer?.number ?? null;
    return new Dialler({
      addresses,
      expect: peer?.fingerprint ?? null,
      network,
      clock,
      random,
      needed: () => this.#noLinkTo(() => answering),
      adopt: async (connection) => {
        const found = this.#peerOf(connection);
        if (found === null) {
          connection.close();
          throw new MirrorError(
            "not_trusted",
            `whoever answers at ${connection.remoteAddress} is not a trusted peer`,
          );
        }
        answering = found.number;
        await this.#greet(connection, found);
      },
      onFailure: (error, nextMs) => this.#parts.onDialFailure(peer, error, nextMs),
    });
  }

  /** Says hello on a connection that we dialled, and stays until its link has ended. */
  async #greet(connection: Connection, peer: LinkPeer): Promise<void> {
    const link = this.#newLink(connection, peer);
    const release = link.hold();
    try {
      await this.#sayHello(link, peer);
    } finally {
      release();
    }
    await link.closed;
  }

  async #sayHello(link: Link, peer: LinkPeer): Promise<void> {
    this.#serve(link, this.#parts.onFrame);
    const cancel = this.#parts.clock.after(
      HELLO_DEADLINE_MS,
      () => link.close(new MirrorError("unreachable", `${peer.name} did not answer the hello within 10 s`)),
    );
    let reply;
    const sent = this.#parts.clock.monotonic();
    try {
      reply = await link.request("control", {
        id: this.#parts.random.uuid(),
        ...{ action: "hello", ...this.#helloFields() },
      });
    } catch (error) {
      // In TLS 1.3 this is how a listener that does not trust us ends a connection: before its first word.
      const silent = link.bytesRead === 0 && codeOf(error, "failed") === "link_closed" && !this.#stopped;
      throw silent ? notTrustedThere(peer.name, this.#parts.fingerprint(), error) : error;
    } finally {
      cancel();
    }
    if (reply.status === "error" && reply.code === "duplicate_link") {
      link.close(new MirrorError("duplicate_link", "there is a link already, and it stays"));
      return;
    }
    // In the middle between question and answer, as far as anybody can know.
    const heard = (sent + this.#parts.clock.monotonic()) / 2;
    const before = this.#turn.get(peer.number) ?? Promise.resolve();
    const mine = before.then(async () => {
      if (link.isClosed) return;
      if (reply.status === "ok") {
        const theirs = parseHello(reply.header);
        if (!await this.#takesTheLink(link, theirs, true)) {
          return link.close(new MirrorError("duplicate_link", "there is a link already, and it stays"));
        }
        if (link.isClosed) return;
        link.becomeFull(theirs, this.#parts.hello, heard);
      } else if (this.#current.has(peer.number)) {
        return link.close(new MirrorError("duplicate_link", "there is a link already, and it stays"));
      }
      this.#up(link);
    });
    this.#turn.set(peer.number, mine.catch(() => {}));
    try {
      await mine;
    } catch (error) {
      link.close(error instanceof MirrorError ? error : new MirrorError("bad_hello", messageOf(error)));
      throw error;
    }
  }

  /** Resolves when there is no link to the peer; at once while it is not known who answers. */
  async #noLinkTo(peer: () => number | null): Promise<void> {
    for (;;) {
      const number = peer();
      if (number === null || !this.#current.has(number)) return;
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#waitingForLoss.delete(wake);
          resolve();
        };
        this.#waitingForLoss.add(wake);
      });
    }
  }

  #kick(): void {
    for (const dialler of this.#diallers.values()) dialler.kick();
  }

  /** A machine that wakes up from sleep sees the clock jump: what was unreachable before may be there now. */
  #watchForWake(lastMs: number): void {
    this.#cancelWakeCheck = this.#parts.clock.after(WAKE_CHECK_MS, () => {
      const now = this.#parts.clock.now();
      if (Math.abs(now - lastMs - WAKE_CHECK_MS) > 10_000) this.#kick();
      this.#watchForWake(now);
    });
  }

  #track(work: Promise<void>): void {
    const done = work.catch(() => {}).finally(() => this.#served.delete(done));
    this.#served.add(done);
  }
}
