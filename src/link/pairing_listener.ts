import tls from "node:tls";
import type { Clock, PairingDoor } from "../domain/ports.ts";
import { TokenBucket } from "../domain/token_bucket.ts";
import type { Identity } from "../identity/identity.ts";
import { formatAddress } from "./address.ts";
import { duplexOver } from "./tcp_duplex.ts";
import { TlsConnection } from "./tls_connection.ts";

/** A conversation for pairing, its handshake included, that takes longer is given up. */
const DEADLINE_MS = 10_000;
/** Conversations at once; the oldest makes room for a new one. */
const MAX_CONVERSATIONS = 8;
/** Conversations that are begun at once, and in each second after that. Who knows no secret could keep us busy otherwise. */
const BURST = 40;
const PER_SECOND = 5;
/** The little that is said while pairing. */
const READ_AHEAD_BYTES = 16 * 1024;

/**
 * TLS for those who want to pair: this side proves who it is, and the other side says who it is in the conversation. Nothing that
 * is said here reaches a link. Work is bounded whoever knocks how often.
 */
export class PairingListener {
  readonly #identity: () => Identity;
  readonly #door: PairingDoor;
  readonly #clock: Clock;
  readonly #conversations = new Set<() => void>();
  readonly #pace: TokenBucket;

  constructor(identity: () => Identity, door: PairingDoor, clock: Clock) {
    this.#identity = identity;
    this.#door = door;
    this.#clock = clock;
    this.#pace = new TokenBucket(PER_SECOND, BURST, clock.monotonic());
  }

  get isOpen(): boolean {
    return this.#door.isOpen();
  }

  /** Takes a connection over whose preface was read. */
  accept(conn: Deno.TcpConn): void {
    const now = this.#clock.monotonic();
    if (this.#pace.waitMs(now) > 0) return conn.close();
    this.#pace.take(1, now);
    if (this.#conversations.size >= MAX_CONVERSATIONS) {
      const [oldest] = this.#conversations;
      oldest?.();
    }
    const remoteAddress = formatAddress({ host: conn.remoteAddr.hostname, port: conn.remoteAddr.port });
    const duplex = duplexOver(conn, READ_AHEAD_BYTES);
    const settle = () => {
      cancelDeadline();
      this.#conversations.delete(drop);
    };
    const drop = () => {
      settle();
      duplex.destroy();
    };
    this.#conversations.add(drop);
    const cancelDeadline = this.#clock.after(DEADLINE_MS, drop);
    duplex.on("error", drop);
    duplex.once("close", settle);
    const { keyPem, certificatePem } = this.#identity();
    const server = tls.createServer({
      key: keyPem,
      cert: certificatePem,
      minVersion: "TLSv1.3",
      allowHalfOpen: true,
      handshakeTimeout: DEADLINE_MS, // see TlsListener
    });
    server.on("tlsClientError", drop);
    server.once("secureConnection", (socket: tls.TLSSocket) => {
      const peer = { peerFingerprint: "", remoteAddress, dialled: false }; // nobody has vouched for it
      const connection = new TlsConnection(socket, duplex, peer, READ_AHEAD_BYTES);
      if (!this.#conversations.has(drop) || socket.getProtocol() !== "TLSv1.3") {
        connection.close();
        return drop();
      }
      void this.#door.hear(connection).finally(() => {
        connection.close();
        drop();
      });
    });
    server.emit("connection", duplex);
  }

  /** Ends all conversations. */
  close(): void {
    for (const drop of [...this.#conversations]) drop();
  }
}
