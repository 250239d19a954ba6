import tls from "node:tls";
import type { Address, Clock, Connection, Listener, PairingDoor } from "../domain/ports.ts";
import type { Identity } from "../identity/identity.ts";
import { formatAddress } from "./address.ts";
import { Handshakes } from "./handshakes.ts";
import { listenError, whyRefused } from "./network_errors.ts";
import { PairingListener } from "./pairing_listener.ts";
import { readPreface } from "./preface.ts";
import { duplexOver } from "./tcp_duplex.ts";
import { TlsConnection } from "./tls_connection.ts";
import { proven, type Trust } from "./trust.ts";

/** Somebody who dialled in and was not let in. */
export interface Refusal {
  /** Without the port, which is another one each time. */
  readonly host: string;
  /** Of the certificate that was shown, as far as it can be told: SHA-256 in lower-case hex. */
  readonly fingerprint: string | null;
  readonly why: string;
}

/** What a listener needs of its surroundings. */
export interface TlsListenerParts {
  /** Whom we show ourselves as; asked at the start of every handshake. */
  readonly identity: () => Identity;
  readonly trust: Trust;
  readonly clock: Clock;
  /** Bytes that a connection receives ahead of its reader. */
  readonly readAheadBytes: number;
  readonly onRefused: (refusal: Refusal) => void;
  readonly onConnection: (connection: Connection) => void;
  /** Who hears those that want to pair; `null`: nobody. */
  readonly door: PairingDoor | null;
}

/** A handshake, or a dial as a whole, that takes longer is given up. */
export const HANDSHAKE_DEADLINE_MS = 10_000;

/** What is left to a handshake whose other side has stopped sending: long enough for what has come to be worked through. */
const AFTER_END_MS = 1000;

/** The pause after a failed accept (as a rule: too many open files), so that the loop does not spin. */
const ACCEPT_RETRY_MS = 100;

/**
 * Listens, and hands over every connection of a trusted peer. Strangers are cut off without a word of ours.
 *
 * Only so many {@linkcode Handshakes} are under way, so that silent connections cannot keep a trusted peer out. Closing the listener ends the handshakes and leaves the connections.
 *
 * While the door for pairing is open a connection that begins with its preface is heard there; all others go the same way as ever.
 */
export class TlsListener implements Listener {
  readonly #parts: TlsListenerParts;
  readonly #listener: Deno.TcpListener;
  readonly #pairing: PairingListener | null;
  readonly #handshakes = new Handshakes();
  #closed = false;
  #endPause: () => void = () => {};

  /** @throws {MirrorError} `port_in_use`; `bad_config` for an address that this computer does not have; `no_permission`. */
  constructor(address: Address, parts: TlsListenerParts) {
    const { identity, door, clock } = parts;
    this.#parts = parts;
    this.#pairing = door === null ? null : new PairingListener(identity, door, clock);
    try {
      this.#listener = Deno.listen({ hostname: address.host, port: address.port });
    } catch (cause) {
      throw listenError(address, cause);
    }
    void this.#acceptAll();
  }

  get address(): Address {
    return { host: this.#listener.addr.hostname, port: this.#listener.addr.port };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#listener.close();
    this.#endPause();
    this.#handshakes.dropAll();
    this.#pairing?.close();
  }

  async #acceptAll(): Promise<void> {
    while (!this.#closed) {
      let conn: Deno.TcpConn;
      try {
        conn = await this.#listener.accept();
      } catch {
        if (this.#closed) return;
        await new Promise<void>((resolve) => {
          const cancel = this.#parts.clock.after(ACCEPT_RETRY_MS, resolve);
          this.#endPause = () => (cancel(), resolve());
        });
        continue;
      }
      this.#accept(conn);
    }
  }

  /** A new connection, of whomever. */
  #accept(conn: Deno.TcpConn): void {
    if (this.#pairing?.isOpen) void this.#acceptEither(conn, this.#pairing);
    else this.#acceptPeer(conn, null);
  }

  /** While somebody may pair, the first bytes tell who wants to. A trusted peer's are of its TLS handshake, which gets them back. */
  async #acceptEither(conn: Deno.TcpConn, pairing: PairingListener): Promise<void> {
    const drop = () => {
      settle();
      conn.close();
    };
    const settle = this.#begin(drop, conn);
    const preface = await readPreface(conn);
    if (!this.#handshakes.has(drop)) return; // it was dropped, and is closed
    if (preface === null) return drop();
    settle();
    if (preface.isPairing && pairing.isOpen) pairing.accept(conn);
    else this.#acceptPeer(conn, preface.bytes);
  }

  /** Counts a handshake that is under way, for its deadline at most. The returned function ends that. */
  #begin(drop: () => void, { remoteAddr }: Deno.TcpConn): () => void {
    this.#handshakes.begin(drop, remoteAddr.hostname);
    const cancelDeadline = this.#parts.clock.after(HANDSHAKE_DEADLINE_MS, drop);
    return () => {
      cancelDeadline();
      this.#handshakes.end(drop);
    };
  }

  /**
   * The listener's handshake with a trusted peer.
   *
   * @param first What was read of the connection before.
   */
  #acceptPeer(conn: Deno.TcpConn, first: Uint8Array | null): void {
    const { trust, identity, clock, readAheadBytes, onRefused, onConnection } = this.#parts;
    const pinned = trust.pinned(null);
    if (pinned.length === 0) {
      conn.close(); // never an empty `ca`: to TLS that would mean the public roots
      onRefused({
        host: conn.remoteAddr.hostname,
        fingerprint: null,
        why: "no peer is trusted here yet",
      });
      return;
    }
    const remoteAddress = formatAddress({ host: conn.remoteAddr.hostname, port: conn.remoteAddr.port });
    const duplex = duplexOver(conn, readAheadBytes, first);
    let cancelAfterEnd = () => {};
    const drop = () => {
      settle();
      duplex.destroy();
    };
    const end = this.#begin(drop, conn);
    const settle = () => {
      end();
      cancelAfterEnd();
    };
    duplex.on("error", drop);
    duplex.once("close", settle);
    duplex.once("end", () => {
      if (this.#handshakes.has(drop)) cancelAfterEnd = clock.after(AFTER_END_MS, drop);
    });
    // A server of its own for each connection (0.5 ms): it has the newest list of trusted peers, shares no session with
    // another, and its events are about this connection and no other. A TLSSocket with `isServer` would not refuse strangers.
    const { keyPem, certificatePem } = identity();
    const server = tls.createServer({
      key: keyPem,
      cert: certificatePem,
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
      onRefused({ host: conn.remoteAddr.hostname, fingerprint, why });
    };
    server.on("tlsClientError", (error: Error & { code?: string }, socket: tls.TLSSocket) => {
      const why = whyRefused(error, socket.authorizationError);
      // Whoever goes away, or takes too long, has not been refused.
      if (why === null) drop();
      else refuse(null, why);
    });
    server.once("secureConnection", (socket: tls.TLSSocket) => {
      const shown = proven(socket);
      const refusal = shown === null ? "it has not proved who it is" : trust.refusal(shown, null);
      if (!this.#handshakes.has(drop) || shown === null || refusal !== null) {
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
          readAheadBytes,
        ),
      );
    });
    server.emit("connection", duplex);
  }
}
