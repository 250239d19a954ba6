import tls from "node:tls";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address, Clock, Connection, Listener, Network, PairingDoor } from "../domain/ports.ts";
import type { Identity } from "../identity/identity.ts";
import { formatAddress } from "./address.ts";
import {
  brokenOff,
  isCertificateError,
  nobodyToDial,
  notTrusted,
  unreachable,
  whyNotConnected,
} from "./network_errors.ts";
import { certificateShownBy } from "./shown_certificate.ts";
import { duplexOver, type TcpDuplex } from "./tcp_duplex.ts";
import { TlsConnection } from "./tls_connection.ts";
import { HANDSHAKE_DEADLINE_MS, type Refusal, TlsListener } from "./tls_listener.ts";
import { proven, Trust, type TrustedCertificate } from "./trust.ts";

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

/** Bytes that are received and not read yet before a connection stops receiving. The room keeps the network busy while the reader works. */
const READ_AHEAD_BYTES = 1024 * 1024;
/** The same for a reader with a limit: what it takes in this time, and no less than one TLS record. */
const LIMITED_READ_AHEAD_MS = 100;
const MIN_READ_AHEAD_BYTES = 16 * 1024;

/**
 * Connections by mutual TLS 1.3 over TCP, between peers that have pinned each other's certificates.
 *
 * Two locks hold the door, one behind the other. TLS itself takes only the pinned certificates (`ca` replaces the public
 * roots) and makes the other side prove that it has the key. Then, before anybody sees a byte, {@linkcode Trust} hashes the
 * certificate that was shown and looks it up in the list of trusted peers as it is at that moment, and checks its dates, which
 * the runtime does not do for a pinned certificate.
 */
export class TlsNetwork implements Network {
  readonly #identity: () => Identity;
  readonly #trust: Trust;
  readonly #clock: Clock;
  readonly #readAheadBytes: number;
  readonly #onRefused: (refusal: Refusal) => void;

  constructor(options: TlsNetworkOptions) {
    this.#readAheadBytes = readAheadBytesFor(options.limit ?? null);
    this.#identity = options.identity;
    this.#trust = new Trust(options.trusted, options.clock);
    this.#clock = options.clock;
    this.#onRefused = options.onRefused ?? (() => {});
  }

  /** See {@linkcode TlsListener}. */
  // deno-lint-ignore require-await -- so that every failure is a rejection
  async listen(
    address: Address,
    onConnection: (connection: Connection) => void,
    door: PairingDoor | null = null,
  ): Promise<Listener> {
    return new TlsListener(address, {
      ...{ identity: this.#identity, trust: this.#trust, clock: this.#clock, onRefused: this.#onRefused },
      ...{ readAheadBytes: this.#readAheadBytes, onConnection, door },
    });
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
    const pinned = this.#trust.pinned(expect);
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
      const refusal = shown === null ? "it has not proved who it is" : this.#trust.refusal(shown, expect);
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
    const why = shown === null ? null : this.#trust.refusal(shown, expect);
    return notTrusted(address, shown, why ?? `its certificate was refused (${messageOf(cause)})`, cause);
  }
}

function readAheadBytesFor(limit: number | null): number {
  if (limit === null) return READ_AHEAD_BYTES;
  return Math.min(READ_AHEAD_BYTES, Math.max(MIN_READ_AHEAD_BYTES, limit * LIMITED_READ_AHEAD_MS / 1000));
}
