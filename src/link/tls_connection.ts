import type { TLSSocket } from "node:tls";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Connection } from "../domain/ports.ts";
import type { TcpDuplex } from "./tcp_duplex.ts";

/** What a connection knows of its other end. */
export interface PeerOfConnection {
  readonly peerFingerprint: string;
  readonly remoteAddress: string;
  readonly dialled: boolean;
}

/**
 * A TLS socket, whose peer was judged before, as a {@linkcode Connection}.
 *
 * It must be made in the very event that tells of the finished handshake, so that no byte comes before its listeners are there.
 * The TLS socket is never paused or iterated (see {@linkcode TcpDuplex}): all it gives goes into a queue, whose size works the gate.
 *
 * An end of the TCP stream without TLS's own goodbye (a process that was killed) reads as an end too: what makes a message whole
 * is the frame's length, not the end of the stream.
 */
export class TlsConnection implements Connection {
  readonly peerFingerprint: string;
  readonly remoteAddress: string;
  readonly dialled: boolean;
  readonly #socket: TLSSocket;
  readonly #duplex: TcpDuplex;
  readonly #readAheadBytes: number;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #reader: PromiseWithResolvers<Uint8Array | null> | null = null;
  /** Calls that wait for the socket; a socket that is destroyed does not always call back, so they are failed by hand. */
  readonly #writers = new Set<(error: MirrorError) => void>();
  #ended = false;
  #writeEnded: Promise<void> | null = null;
  #failure: MirrorError | null = null;

  /** @param readAheadBytes More bytes than this, received and not read yet, close the gate; a quarter of it opens it again. */
  constructor(socket: TLSSocket, duplex: TcpDuplex, peer: PeerOfConnection, readAheadBytes: number) {
    this.#readAheadBytes = readAheadBytes;
    this.#socket = socket;
    this.#duplex = duplex;
    this.peerFingerprint = peer.peerFingerprint;
    this.remoteAddress = peer.remoteAddress;
    this.dialled = peer.dialled;
    socket.on("data", (chunk: Uint8Array) => this.#receive(chunk));
    socket.on("end", () => this.#end());
    socket.on("error", (cause: Error) => this.#fail(this.#broken(messageOf(cause), cause)));
    socket.on("close", () => this.#closed());
    duplex.on("error", (cause: Error) => this.#fail(this.#broken(messageOf(cause), cause)));
    duplex.on("close", () => this.#closed());
  }

  read(): Promise<Uint8Array | null> {
    if (this.#reader !== null) {
      return Promise.reject(new Error("read() was called before the last read() was done"));
    }
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      this.#queuedBytes -= chunk.length;
      if (this.#queuedBytes < this.#readAheadBytes / 4) this.#duplex.openGate();
      return Promise.resolve(chunk);
    }
    if (this.#ended) return Promise.resolve(null);
    if (this.#failure !== null) return Promise.reject(this.#failure);
    this.#reader = Promise.withResolvers();
    return this.#reader.promise;
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#writeEnded !== null) {
      return Promise.reject(this.#broken("this side ended its direction before"));
    }
    return this.#waitFor((done) => this.#socket.write(bytes, done));
  }

  closeWrite(): Promise<void> {
    // Closing before TLS's last record was handed to the system would take it back.
    this.#writeEnded ??= this.#waitFor((done) =>
      this.#socket.end(() => void this.#duplex.sent().then(() => done()))
    );
    return this.#writeEnded;
  }

  close(): void {
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#ended = false; // after close() there is nothing to read, not even an end
    this.#fail(this.#broken("it was closed on this side"));
  }

  #receive(chunk: Uint8Array): void {
    if (this.#failure !== null) return;
    if (this.#reader !== null) {
      this.#reader.resolve(chunk);
      this.#reader = null;
      return;
    }
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes > this.#readAheadBytes) this.#duplex.closeGate();
  }

  #end(): void {
    this.#ended = true;
    this.#reader?.resolve(null);
    this.#reader = null;
  }

  #closed(): void {
    // The TLS socket closes by itself once both directions have ended. Otherwise the other side, or the network, broke it off.
    if (!this.#ended) return this.#fail(this.#broken("the other side broke it off"));
    this.#duplex.destroy();
    void this.#duplex.sent().then(() => this.#fail(this.#broken("both sides ended it")));
  }

  /** Ends everything at once, for the first reason that is given. What was received before stays readable. */
  #fail(failure: MirrorError): void {
    const first = this.#failure === null;
    this.#failure ??= failure;
    this.#reader?.reject(this.#failure);
    this.#reader = null;
    for (const reject of [...this.#writers]) reject(this.#failure);
    if (!first) return;
    this.#socket.destroy();
    this.#duplex.destroy(this.#failure);
  }

  #waitFor(begin: (done: (error?: Error | null) => void) => void): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#writers.add(reject);
      begin((error) => {
        this.#writers.delete(reject);
        if (error) reject(this.#failure ?? this.#broken(messageOf(error), error));
        else resolve();
      });
    });
  }

  #broken(why: string, cause?: unknown): MirrorError {
    return new MirrorError("link_closed", `the connection with ${this.remoteAddress} is closed: ${why}`, {
      cause,
    });
  }
}
