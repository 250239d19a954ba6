import tls from "node:tls";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address, Clock, Connection, Listener, Network, PairingDoor } from "../domain/ports.ts";
import type { Identity } from "../identity/identity.ts";
import { formatAddress } from "./address.ts";
import {
  brokenOff,
  isCertificateError,
  listenError,
  nobodyToDial,
  notTrusted,
  refusals,
  unreachable,
  whyNotConnected,
  whyRefused,
} from "./network_errors.ts";
import { certificateShownBy, type ShownCertificate, shownCertificate } from "./shown_certificate.ts";
import { PairingListener } from "./pairing_listener.ts";
import { readPreface } from "./preface.ts";
import { duplexOver, type TcpDuplex } from "./tcp_duplex.ts";
import { TlsConnection } from "./tls_connection.ts";

/** A peer whose certificate is pinned. */
export interface TrustedCertificate {
  /** SHA-256 in lower-case hex. */
  readonly fingerprint: string;
  readonly certificatePem: string;
  /** Of the next certificate of a peer: the fingerprint of its present one. Whoever expects the one takes the other, too. */
  readonly announcedBy?: string | null;
}

/** Somebody who dialled in and was not let in. */
export interface Refusal {
  /** Without the port, which is another one each time. */
  readonly host: string;
  /** Of the certificate that was shown, as far as it can be told: SHA-256 in lower-case hex. */
  readonly fingerprint: string | null;
  readonly why: string;
}

/** Who we are, whom we trust, and what time it is. */
export interface TlsNetworkOptions {
  /** Whom we show ourselves as; asked at the start of every handshake. */
  readonly identity: () => Identity;
  /** Asked at the start of every handshake and again at its end, so a change holds from that moment on. */
  readonly trusted: () => ReadonlyArray<TrustedCertificate>;
  readonly clock: Clock;
  /** Bytes a second that its user is going to read at most; so much less is taken from the system ahead of it. `null`: no limit. */
  readonly limit?: number | null;
  /** Told of everybody who dials in and is refused; they may be very many. */
  readonly onRefused?: (refusal: Refusal) => void;
}

/** A handshake, or a dial as a whole, that takes longer is given up. */
export const HANDSHAKE_DEADLINE_MS = 10_000;

/** Unfinished handshakes that a listener keeps at once. */
export const MAX_HANDSHAKES = 64;

/** What is left to a handshake whose other side has stopped sending: long enough for what has come to be worked through. */
const AFTER_END_MS = 1000;

/** Bytes that are received and not read yet before a connection stops receiving. The room keeps the network busy while the reader works. */
const READ_AHEAD_BYTES = 1024 * 1024;
/** The same for a reader with a limit: what it takes in this time, and no less than one TLS record. */
const LIMITED_READ_AHEAD_MS = 100;
const MIN_READ_AHEAD_BYTES = 16 * 1024;

/** The pause after a failed accept (as a rule: too many open files), so that the loop does not spin. */
const ACCEPT_RETRY_MS = 100;

/** What a listener knows. */
interface Entrance {
  /** Ends each handshake that is under way. */
  readonly handshakes: Set<() => void>;
  readonly onConnection: (connection: Connection) => void;
  readonly pairing: PairingListener | null;
}

/**
 * Connections by mutual TLS 1.3 over TCP, between peers that have pinned each other's certificates.
 *
 * Two locks hold the door, one behind the other. TLS itself takes only the pinned certificates (`ca` replaces the public
 * roots) and makes the other side prove that it has the key. Then, before anybody sees a byte, this class hashes the
 * certificate that was shown and looks it up in the list of trusted peers as it is at that moment, and checks its dates, which
 * the runtime does not do for a pinned certificate.
 */
export class TlsNetwork implements Network {
  readonly #identity: () => Identity;
  readonly #trusted: () => ReadonlyArray<TrustedCertificate>;
  readonly #clock: Clock;
  readonly #readAheadBytes: number;
  readonly #onRefused: (refusal: Refusal) => void;

  constructor(options: TlsNetworkOptions) {
    this.#readAheadBytes = readAheadBytesFor(options.limit ?? null);
    this.#identity = options.identity;
    this.#trusted = options.trusted;
    this.#clock = options.clock;
    this.#onRefused = options.onRefused ?? (() => {});
  }

  /**
   * Listens, and hands over every connection of a trusted peer. Strangers are cut off without a word of ours.
   *
   * At most {@linkcode MAX_HANDSHAKES} handshakes are under way; the oldest makes room for a new one, so that silent
   * connections cannot keep a trusted peer out. Closing the listener ends the handshakes and leaves the connections.
   *
   * While `door` is open a connection that begins with the preface for pairing is heard there; all others go the same way as ever.
   *
   * @throws {MirrorError} `port_in_use`; `bad_config` for an address that this computer does not have; `no_permission`.
   */
  // deno-lint-ignore require-await -- so that every failure is a rejection
  async listen(
    address: Address,
    onConnection: (connection: Connection) => void,
    door: PairingDoor | null = null,
  ): Promise<Listener> {
    let listener: Deno.TcpListener;
    try {
      listener = Deno.listen({ hostname: address.host, port: address.port });
    } catch (cause) {
      throw listenError(address, cause);
    }
    const entrance: Entrance = {
      handshakes: new Set(),
      onConnection,
      pairing: door === null ? null : new PairingListener(this.#identity, door, this.#clock),
    };
    let closed = false;
    let endPause = () => {};
    const acceptAll = async () => {
      while (!closed) {
        let conn: Deno.TcpConn;
        try {
          conn = await listener.accept();
        } catch {
          if (closed) return;
          await new Promise<void>((resolve) => {
            const cancel = this.#clock.after(ACCEPT_RETRY_MS, resolve);
            endPause = () => (cancel(), resolve());
          });
          continue;
        }
        this.#accept(conn, entrance);
      }
    };
    void acceptAll();
    return {
      address: { host: listener.addr.hostname, port: listener.addr.port },
      close: () => {
        if (closed) return;
        closed = true;
        listener.close();
        endPause();
        for (const drop of [...entrance.handshakes]) drop();
        entrance.pairing?.close();
      },
    };
  }

  /**
   * Dials a peer.
   *
   * In TLS 1.3 the dialler is done before the other side has judged *its* certificate. So a connection that is returned is with
   * the right peer, but that peer may still refuse us: it does if the first `read()` gives `null` or fails. The layer above counts
   * itself connected when the first frame has come.
   *
   * @throws {MirrorError} `unreachable`, also when `signal` aborts; `not_trusted`.
   */
  async dial(address: Address, expect: string | null, signal: AbortSignal): Promise<Connection> {
    const pinned = this.#pinned(expect);
    if (pinned.length === 0) throw nobodyToDial(expect);
    const deadline = new AbortController();
    const cancelDeadline = this.#clock.after(HANDSHAKE_DEADLINE_MS, () => deadline.abort());
    const ends = AbortSignal.any([signal, deadline.signal]);
    try {
      const duplex = await this.#connect(address, ends);
      return await this.#greet(duplex, address, pinned, expect, ends);
    } catch (error) {
      if (signal.aborted) throw unreachable(address, "the attempt was called off", signal.reason);
      if (deadline.signal.aborted && !(error instanceof MirrorError && error.code === "not_trusted")) {
        const seconds = HANDSHAKE_DEADLINE_MS / 1000;
        throw unreachable(
          address,
          `no answer within ${seconds} s (is the computer on, and does its firewall let the port through?)`,
          error,
        );
      }
      throw error;
    } finally {
      cancelDeadline();
    }
  }

  async #connect(address: Address, ends: AbortSignal): Promise<TcpDuplex> {
    try {
      const conn = await Deno.connect({ hostname: address.host, port: address.port, signal: ends });
      return duplexOver(conn, this.#readAheadBytes);
    } catch (cause) {
      throw unreachable(address, whyNotConnected(cause), cause);
    }
  }

  /** The dialler's handshake. */
  #greet(
    duplex: TcpDuplex,
    address: Address,
    pinned: ReadonlyArray<TrustedCertificate>,
    expect: string | null,
    ends: AbortSignal,
  ): Promise<Connection> {
    const { promise, resolve, reject } = Promise.withResolvers<Connection>();
    const identity = this.#identity();
    const options: tls.ConnectionOptions & { allowHalfOpen: boolean } = {
      socket: duplex,
      key: identity.keyPem,
      cert: identity.certificatePem,
      ca: pinned.map((peer) => peer.certificatePem),
      rejectUnauthorized: true,
      checkServerIdentity: () => undefined, // the pinned certificate is the identity, whatever host it runs on
      minVersion: "TLSv1.3",
      allowHalfOpen: true,
    };
    const socket = tls.connect(options);
    let settled = false;
    const giveUp = (reason: MirrorError | Promise<MirrorError>) => {
      if (settled) return;
      settled = true; // what follows from destroying is no second reason
      socket.destroy();
      duplex.destroy();
      Promise.resolve(reason).then(reject);
    };
    const onAbort = () => giveUp(unreachable(address, "the attempt was given up", ends.reason));
    const onEnd = () => giveUp(brokenOff(address));
    const onError = (cause: Error) => {
      if (settled) return; // what happens to a connection is its own affair
      giveUp(
        isCertificateError(cause) ? this.#explain(address, expect, cause, ends) : brokenOff(address, cause),
      );
    };
    if (ends.aborted) onAbort();
    ends.addEventListener("abort", onAbort, { once: true });
    socket.on("error", onError);
    duplex.on("error", onError);
    socket.once("close", onEnd);
    duplex.once("close", onEnd);
    socket.once("secureConnect", () => {
      if (settled) return;
      const shown = proven(socket);
      const refusal = shown === null ? "it has not proved who it is" : this.#refusal(shown, expect);
      if (shown === null || refusal !== null) {
        giveUp(notTrusted(address, shown, refusal ?? ""));
        return;
      }
      const peer = {
        peerFingerprint: shown.fingerprint,
        remoteAddress: formatAddress(address),
        dialled: true,
      };
      settled = true;
      resolve(new TlsConnection(socket, duplex, peer, this.#readAheadBytes));
    });
    return promise.finally(() => ends.removeEventListener("abort", onAbort));
  }

  /** Why TLS refused the certificate of whoever answers there, with its fingerprint if that can still be learnt. */
  async #explain(
    address: Address,
    expect: string | null,
    cause: Error,
    signal: AbortSignal,
  ): Promise<MirrorError> {
    const shown = await certificateShownBy(address, signal);
    const why = shown === null ? null : this.#refusal(shown, expect);
    return notTrusted(address, shown, why ?? `its certificate was refused (${messageOf(cause)})`, cause);
  }

  /** A new connection, of whomever. */
  #accept(conn: Deno.TcpConn, entrance: Entrance): void {
    const { pairing } = entrance;
    if (pairing?.isOpen) void this.#acceptEither(conn, pairing, entrance);
    else this.#acceptPeer(conn, null, entrance);
  }

  /** While somebody may pair, the first bytes tell who wants to. A trusted peer's are of its TLS handshake, which gets them back. */
  async #acceptEither(conn: Deno.TcpConn, pairing: PairingListener, entrance: Entrance): Promise<void> {
    const { handshakes } = entrance;
    const drop = () => {
      settle();
      conn.close();
    };
    const settle = this.#begin(drop, handshakes);
    const preface = await readPreface(conn);
    if (!handshakes.has(drop)) return; // it was dropped, and is closed
    if (preface === null) return drop();
    settle();
    if (preface.isPairing && pairing.isOpen) pairing.accept(conn);
    else this.#acceptPeer(conn, preface.bytes, entrance);
  }

  /** Counts a handshake that is under way, for its deadline at most; the oldest makes room. The returned function ends that. */
  #begin(drop: () => void, handshakes: Set<() => void>): () => void {
    if (handshakes.size >= MAX_HANDSHAKES) {
      const [oldest] = handshakes;
      oldest?.();
    }
    handshakes.add(drop);
    const cancelDeadline = this.#clock.after(HANDSHAKE_DEADLINE_MS, drop);
    return () => {
      cancelDeadline();
      handshakes.delete(drop);
    };
  }

  /**
   * The listener's handshake with a trusted peer.
   *
   * @param first What was read of the connection before.
   */
  #acceptPeer(conn: Deno.TcpConn, first: Uint8Array | null, { handshakes, onConnection }: Entrance): void {
    const pinned = this.#pinned(null);
    if (pinned.length === 0) {
      conn.close(); // never an empty `ca`: to TLS that would mean the public roots
      this.#onRefused({
        host: conn.remoteAddr.hostname,
        fingerprint: null,
        why: "no peer is trusted here yet",
      });
      return;
    }
    const remoteAddress = formatAddress({ host: conn.remoteAddr.hostname, port: conn.remoteAddr.port });
    const duplex = duplexOver(conn, this.#readAheadBytes, first);
    let cancelAfterEnd = () => {};
    const drop = () => {
      settle();
      duplex.destroy();
    };
    const end = this.#begin(drop, handshakes);
    const settle = () => {
      end();
      cancelAfterEnd();
    };
    duplex.on("error", drop);
    duplex.once("close", settle);
    duplex.once("end", () => {
      if (handshakes.has(drop)) cancelAfterEnd = this.#clock.after(AFTER_END_MS, drop);
    });
    // A server of its own for each connection (0.5 ms): it has the newest list of trusted peers, shares no session with
    // another, and its events are about this connection and no other. A TLSSocket with `isServer` would not refuse strangers.
    const identity = this.#identity();
    const server = tls.createServer({
      key: identity.keyPem,
      cert: identity.certificatePem,
      ca: pinned.map((peer) => peer.certificatePem),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      allowHalfOpen: true,
      // The runtime never clears this timer for a handshake that failed, and it holds on to the dead socket: with the default
      // of 120 s a flood would fill the memory. The deadline that counts is the clock's, above.
      handshakeTimeout: HANDSHAKE_DEADLINE_MS,
    });
    const refuse = (fingerprint: string | null, why: string) => {
      drop();
      this.#onRefused({ host: conn.remoteAddr.hostname, fingerprint, why });
    };
    server.on("tlsClientError", (error: Error & { code?: string }, socket: tls.TLSSocket) => {
      const why = whyRefused(error, socket.authorizationError);
      // Whoever goes away, or takes too long, has not been refused.
      if (why === null) drop();
      else refuse(null, why);
    });
    server.once("secureConnection", (socket: tls.TLSSocket) => {
      const shown = proven(socket);
      const refusal = shown === null ? "it has not proved who it is" : this.#refusal(shown, null);
      if (!handshakes.has(drop) || shown === null || refusal !== null) {
        socket.on("error", () => {});
        socket.destroy();
        if (refusal === null) drop();
        else refuse(shown?.fingerprint ?? null, refusal);
        return;
      }
      settle();
      onConnection(
        new TlsConnection(
          socket,
          duplex,
          { peerFingerprint: shown.fingerprint, remoteAddress, dialled: false },
          this.#readAheadBytes,
        ),
      );
    });
    server.emit("connection", duplex);
  }

  #pinned(expect: string | null): ReadonlyArray<TrustedCertificate> {
    return this.#trusted().filter((peer) => expect === null || isExpected(peer, expect));
  }

  /** Why a certificate may not talk with us, or `null` when it may: judged by what is trusted, and what time it is, now. */
  #refusal(shown: ShownCertificate, expect: string | null): string | null {
    const pinned = this.#trusted().find((peer) => peer.fingerprint === shown.fingerprint);
    if (expect !== null && !(pinned ? isExpected(pinned, expect) : shown.fingerprint === expect)) {
      return refusals.notExpected(expect);
    }
    if (pinned === undefined) return refusals.stranger();
    const now = this.#clock.now();
    // Written so that a date which cannot be read is refused as well.
    if (!(now <= Date.parse(shown.validTo))) return refusals.expired(shown.validTo);
    if (!(now >= Date.parse(shown.validFrom))) return refusals.tooEarly(shown.validFrom);
    return null;
  }
}

function isExpected({ fingerprint, announcedBy }: TrustedCertificate, expect: string): boolean {
  return fingerprint === expect || announcedBy === expect;
}

/** The certificate of the other end, if TLS has verified it against the pinned ones and checked that its key is there. */
function proven(socket: tls.TLSSocket): ShownCertificate | null {
  return socket.authorized && socket.getProtocol() === "TLSv1.3" ? shownCertificate(socket) : null;
}

function readAheadBytesFor(limit: number | null): number {
  if (limit === null) return READ_AHEAD_BYTES;
  return Math.min(READ_AHEAD_BYTES, Math.max(MIN_READ_AHEAD_BYTES, limit * LIMITED_READ_AHEAD_MS / 1000));
}
