import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";

/** The most bytes that one read takes from the system. */
const READ_BYTES = 256 * 1024;

/** Reads fill one slab after the other, so that a small read does not cost a large buffer and no buffer is used twice. */
const SLAB_BYTES = 1024 * 1024;

/** The first slab is small: a connection costs little memory until it has got through its handshake. */
const FIRST_SLAB_BYTES = 16 * 1024;

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

  /** @param maxReadBytes The most bytes that one read should take; a reader that wants few at a time says so. */
  constructor(conn: Deno.TcpConn, maxReadBytes = READ_BYTES) {
    super({ allowHalfOpen: true });
    this.#conn = conn;
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
    void this.#readOnce();
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
      this.#slab = slab.subarray(count);
      this.push(slab.subarray(0, count));
    } catch (error) {
      if (!this.destroyed) this.destroy(error as Error);
    }
  }

  #roomToRead(): Buffer {
    if (this.#slab === null) this.#slab = Buffer.allocUnsafeSlow(FIRST_SLAB_BYTES);
    else if (this.#slab.length < READ_BYTES) this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    return this.#slab;
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#writeAll(chunk).then(() => done(), done);
  }

  /** TLS hands over its records in small pieces; together they cost one call to the system instead of one each. */
  override _writev(pieces: Array<{ chunk: Uint8Array }>, done: (error?: Error | null) => void): void {
    this.#writeAll(Buffer.concat(pieces.map((piece) => piece.chunk))).then(() => done(), done);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) rest = rest.subarray(await this.#conn.write(rest));
  }

  override _final(done: (error?: Error | null) => void): void {
    // Failing means that the other side is gone, which the read side tells as well.
    this.#conn.closeWrite().then(() => done(), () => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.openGate(); // frees a read that waits
    this.#slab = null;
    try {
      this.#conn.close();
    } catch {
      // It was closed before.
    }
    done(error);
  }
}
