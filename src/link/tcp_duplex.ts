import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";
import { free } from "../domain/free.ts";

/** The most bytes that one read takes from the system. */
const READ_BYTES = 256 * 1024;

/** Reads fill one slab after the other, so that a small read does not cost a large buffer. */
const SLAB_BYTES = 1024 * 1024;

/** What TLS wants to send is collected up to this, so that a call to the system carries more than one of its small records. */
const SEND_BYTES = 256 * 1024;

/** How long the last bytes may take, of a connection that is being closed. */
const LAST_SENDING_MS = 10_000;

/** The first slab is small: a connection costs little memory until it has got through its handshake. */
const FIRST_SLAB_BYTES = 16 * 1024;

/** A new TCP connection as a {@linkcode TcpDuplex}, set up for small messages. See there for the parameters. */
export function duplexOver(
  conn: Deno.TcpConn,
  maxReadBytes: number,
  first: Uint8Array | null = null,
): TcpDuplex {
  try {
    conn.setNoDelay(true); // a save is a few hundred bytes and must not wait for more
    conn.setKeepAlive(true);
  } catch {
    // The other side is gone already, which the first read tells.
  }
  return new TcpDuplex(conn, maxReadBytes, first);
}

/**
 * A TCP connection as the Node stream that `node:tls` runs on.
 *
 * It exists for its gate. The runtime's own TLS sockets have no back-pressure on receiving: paused or not, they go on reading
 * from the network into memory. Here nothing is read from the system while the gate is closed, so TCP itself holds the sender
 * back, and TLS above never has to be paused.
 */
export class TcpDuplex extends Duplex {
  readonly #conn: Deno.TcpConn;
  readonly #readBytes: number;
  /** The part of the slab that is still to be filled; `null` before the first read. */
  #slab: Buffer | null = null;
  #gate: PromiseWithResolvers<void> | null = null;
  /** What is to be sent, in its order, and how much that is. */
  readonly #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  /** What is being sent; `null` before the first. */
  #sending: Uint8Array | null = null;
  #isSending = false;
  /** Tells the stream that there is room again for more to send. */
  #onRoom: (() => void) | null = null;
  #onSent: (() => void)[] = [];
  #first: Uint8Array | null;

  /**
   * @param maxReadBytes The most bytes that one read should take; a reader that wants few at a time says so.
   * @param first What was read of the connection before.
   */
  constructor(conn: Deno.TcpConn, maxReadBytes = READ_BYTES, first: Uint8Array | null = null) {
    super({ allowHalfOpen: true });
    this.#conn = conn;
    this.#first = first;
    this.#readBytes = Math.min(READ_BYTES, maxReadBytes);
  }

  /** Stops reading from the system after the read that may be under way. */
  closeGate(): void {
    this.#gate ??= Promise.withResolvers();
  }

  openGate(): void {
    this.#gate?.resolve();
    this.#gate = null;
  }

  /** One chunk for each call: the stream calls again once it has taken that one, so there is never a second read. */
  override _read(): void {
    const first = this.#first;
    this.#first = null;
    if (first === null) void this.#readOnce();
    else this.push(Buffer.from(first.slice().buffer)); // a memory of its own: whoever reads it may free it
  }

  async #readOnce(): Promise<void> {
    try {
      while (this.#gate !== null) await this.#gate.promise;
      if (this.destroyed) return;
      const slab = this.#roomToRead();
      const count = await this.#conn.read(slab.subarray(0, this.#readBytes));
      if (this.destroyed) return;
      if (count === null) {
        this.push(null);
        return;
      }
      const bytes = slab.subarray(0, count);
      this.push(bytes);
      // TLS has taken the bytes by now, as a rule: then the same room serves the next read, and stays in the processor's cache.
      if (this.readableLength > 0) this.#slab = slab.subarray(count);
    } catch (error) {
      if (!this.destroyed) this.destroy(error as Error);
    }
  }

  #roomToRead(): Buffer {
    if (this.#slab === null) this.#slab = Buffer.allocUnsafeSlow(FIRST_SLAB_BYTES);
    else if (this.#slab.length < READ_BYTES) this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    return this.#slab;
  }

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    this.#unsent.push(chunk);
    this.#unsentBytes += chunk.length;
    if (this.#unsentBytes < SEND_BYTES) done();
    else this.#onRoom = done;
    if (this.#isSending) return;
    this.#isSending = true;
    // After the current turn, so that what TLS gives together is sent together.
    queueMicrotask(() => void this.#send());
  }

  async #send(): Promise<void> {
    try {
      while (this.#unsent.length > 0) {
        const bytes = this.#nextToSend();
        const onRoom = this.#onRoom;
        this.#onRoom = null;
        onRoom?.();
        for (let sent = 0; sent < bytes.length;) sent += await this.#conn.write(bytes.subarray(sent));
      }
      this.#isSending = false;
      for (const sent of this.#onSent.splice(0)) sent();
    } catch (error) {
      this.#isSending = false;
      for (const sent of this.#onSent.splice(0)) sent();
      if (!this.destroyed) this.destroy(error as Error);
    }
  }

  #nextToSend(): Uint8Array {
    const room = this.#sending ??= new Uint8Array(SEND_BYTES);
    let taken = 0, length = 0;
    for (const chunk of this.#unsent) {
      if (length + chunk.length > room.length) break;
      room.set(chunk, length);
      length += chunk.length;
      taken++;
      free(chunk);
    }
    // Longer than there is room for: it goes alone.
    const bytes = taken === 0 ? this.#unsent[taken++]! : room.subarray(0, length);
    this.#unsent.splice(0, taken);
    this.#unsentBytes -= bytes.length;
    return bytes;
  }

  /** Resolves when all that was given to it was handed to the system, or never will be. */
  sent(): Promise<void> {
    return this.#isSending ? new Promise((resolve) => this.#onSent.push(resolve)) : Promise.resolve();
  }

  override _final(done: () => void): void {
    // Failing means that the other side is gone, which the read side tells as well.
    this.sent().then(() => this.#conn.closeWrite()).then(() => done(), () => done());
  }

  /** Without an error, what was given before is sent first: TLS takes leave in the moment in which both sides have said all. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.openGate(); // frees a read that waits
    this.#slab = null;
    if (error !== null || !this.#isSending) return this.#close(error, done);
    const late = setTimeout(() => this.#close(null, done), LAST_SENDING_MS);
    this.sent().then(() => {
      clearTimeout(late);
      this.#close(null, done);
    });
  }

  #close(error: Error | null, done: (error: Error | null) => void): void {
    this.#unsent.length = 0;
    try {
      this.#conn.close();
    } catch {
      // It was closed before.
    }
    for (const sent of this.#onSent.splice(0)) sent();
    done(error);
  }
}
