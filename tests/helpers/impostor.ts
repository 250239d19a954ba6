import { Buffer } from "node:buffer";
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  sign,
  X509Certificate,
} from "node:crypto";

/** What a {@linkcode Impostor} shows, and what it has. */
export interface ImpostorOptions {
  readonly certificatePem: string;
  /** The key that it signs the handshake with, whether it is the certificate's or not: P-256, PEM. */
  readonly keyPem: string;
  /** Bytes that its clients send before TLS. */
  readonly prefaceBytes: number;
}

/**
 * A TLS 1.3 server (RFC 8446) that shows any certificate and signs with any key, which no TLS library would do. It goes as far as
 * its own Finished, and notes what it hears.
 */
export class Impostor implements Disposable {
  readonly port: number;
  /** Content types of the records that clients have sent after the handshake's first flight: 21 alert, 22 Finished, 23 data. */
  readonly heard: number[] = [];
  connections = 0;
  #closed = false;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #options: ImpostorOptions;

  constructor(options: ImpostorOptions) {
    this.#options = options;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    void this.#acceptAll();
  }

  async #acceptAll(): Promise<void> {
    for await (const conn of this.#listener) {
      this.connections++;
      this.#open.add(conn);
      this.#serve(conn).catch((error) => {
        if (!this.#closed && !(error instanceof Deno.errors.ConnectionReset)) throw error;
      });
    }
  }

  async #serve(conn: Deno.TcpConn): Promise<void> {
    const read = reader(conn);
    if (await read(this.#options.prefaceBytes) === null) return;
    const first = await readRecord(read);
    if (first === null) return;
    const hello = first.body;
    const { sessionId, share } = parseClientHello(hello);
    const own = generateKeyPairSync("x25519");
    const spki = Buffer.concat([Buffer.from("302a300506032b656e032100", "hex"), share]);
    const publicKey = createPublicKey({ key: spki, format: "der", type: "spki" });
    const shared = diffieHellman({ privateKey: own.privateKey, publicKey });
    const ownShare = own.publicKey.export({ format: "der", type: "spki" }).subarray(-32);
    const serverHello = handshake(2, [
      ...[0x03, 0x03],
      ...crypto.getRandomValues(new Uint8Array(32)),
      ...[sessionId.length, ...sessionId],
      ...[0x13, 0x01, 0],
      ...vector(2, [...extension(43, [0x03, 0x04]), ...extension(51, [0, 0x1d, ...vector(2, ownShare)])]),
    ]);
    const transcript: Uint8Array[] = [hello, serverHello];
    const keys = handshakeKeys(shared, hash(transcript));
    const say = (message: Uint8Array) => {
      transcript.push(message);
      return message;
    };
    const certificate = new X509Certificate(this.#options.certificatePem).raw;
    const flight = [
      say(handshake(8, vector(2, []))),
      say(handshake(11, [0, ...vector(3, [...vector(3, certificate), ...vector(2, [])])])),
    ];
    const signed = Buffer.concat([
      Buffer.from(" ".repeat(64) + "TLS 1.3, server CertificateVerify\0"),
      hash(transcript),
    ]);
    const signature = sign("sha256", signed, this.#options.keyPem);
    flight.push(say(handshake(15, [0x04, 0x03, ...vector(2, signature)])));
    const finishedKey = expand(keys.serverSecret, "finished", new Uint8Array(), 32);
    flight.push(say(handshake(20, hmac(finishedKey, hash(transcript)))));
    const sealed = flight.map((message, i) => seal(keys.server, i, 22, message));
    await writeAll(conn, Buffer.concat([record(22, serverHello), record(20, [1]), ...sealed]));
    for (let number = 0, finished = false;;) {
      const next = await readRecord(read);
      if (next === null) return;
      if (next.type === 20) continue;
      // What follows the client's Finished is under other keys: data, as a rule.
      const type: number = next.type === 23 && !finished ? innerType(keys.client, number++, next) : next.type;
      finished ||= type === 22;
      this.heard.push(type);
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#listener.close();
    for (const conn of this.#open) conn.close();
  }
}

type Read = (count: number) => Promise<Uint8Array | null>;
interface TlsRecord {
  readonly type: number;
  readonly body: Uint8Array;
}
interface TrafficKeys {
  readonly key: Uint8Array;
  readonly iv: Uint8Array;
}

function reader(conn: Deno.TcpConn): Read {
  return async (count) => {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count;) {
      const read = await conn.read(bytes.subarray(at));
      if (read === null) return null;
      at += read;
    }
    return bytes;
  };
}

async function readRecord(read: Read): Promise<TlsRecord | null> {
  const head = await read(5);
  const body = head === null ? null : await read(head[3]! * 256 + head[4]!);
  return head === null || body === null ? null : { type: head[0]!, body };
}

async function writeAll(conn: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await conn.write(rest));
}

function parseClientHello(hello: Uint8Array): { sessionId: Uint8Array; share: Uint8Array } {
  let at = 4 + 2 + 32;
  const take = (count: number) => hello.subarray(at, at += count);
  const vectorOf = (lengthBytes: number) => take(take(lengthBytes).reduce((n, byte) => n * 256 + byte, 0));
  const sessionId = vectorOf(1);
  vectorOf(2);
  vectorOf(1);
  const end = at + 2 + hello[at]! * 256 + hello[at + 1]!;
  at += 2;
  while (at < end) {
    const type = take(2)[1]! | hello[at - 2]! << 8;
    const length = take(2).reduce((n, byte) => n * 256 + byte, 0);
    if (type !== 51) {
      at += length;
      continue;
    }
    const sharesEnd = at + length;
    at += 2;
    while (at < sharesEnd) {
      const group = take(2).reduce((n, byte) => n * 256 + byte, 0);
      const share = vectorOf(2);
      if (group === 0x1d) return { sessionId, share };
    }
  }
  throw new Error("the client offers no X25519 share");
}

function handshakeKeys(shared: Uint8Array, helloHash: Uint8Array) {
  const zeros = new Uint8Array(32);
  const early = hmac(zeros, zeros);
  const secret = hmac(expand(early, "derived", hash([]), 32), shared);
  const keysOf = (traffic: Uint8Array): TrafficKeys => ({
    key: expand(traffic, "key", new Uint8Array(), 16),
    iv: expand(traffic, "iv", new Uint8Array(), 12),
  });
  const serverSecret = expand(secret, "s hs traffic", helloHash, 32);
  return {
    serverSecret,
    server: keysOf(serverSecret),
    client: keysOf(expand(secret, "c hs traffic", helloHash, 32)),
  };
}

/** HKDF-Expand-Label, for up to 32 bytes. */
function expand(secret: Uint8Array, label: string, context: Uint8Array, bytes: number): Uint8Array {
  const info = [0, bytes, ...vector(1, Buffer.from(`tls13 ${label}`)), ...vector(1, context), 1];
  return hmac(secret, new Uint8Array(info)).subarray(0, bytes);
}

function seal({ key, iv }: TrafficKeys, number: number, type: number, content: Uint8Array): Uint8Array {
  const head = new Uint8Array([23, 3, 3, ...uint(2, content.length + 1 + 16)]);
  const cipher = createCipheriv("aes-128-gcm", key, nonce(iv, number));
  cipher.setAAD(head);
  return Buffer.concat([
    head,
    cipher.update(Buffer.from([...content, type])),
    cipher.final(),
    cipher.getAuthTag(),
  ]);
}

/** The content type inside an encrypted record. */
function innerType({ key, iv }: TrafficKeys, number: number, { body }: TlsRecord): number {
  const decipher = createDecipheriv("aes-128-gcm", key, nonce(iv, number));
  decipher.setAAD(new Uint8Array([23, 3, 3, ...uint(2, body.length)]));
  decipher.setAuthTag(body.subarray(-16));
  return Buffer.concat([decipher.update(body.subarray(0, -16)), decipher.final()]).at(-1)!;
}

function nonce(iv: Uint8Array, number: number): Uint8Array {
  return iv.map((byte, i) => i === 11 ? byte ^ number : byte);
}

function hash(parts: readonly Uint8Array[]): Uint8Array {
  return createHash("sha256").update(Buffer.concat(parts)).digest();
}

function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac("sha256", key).update(data).digest();
}

function uint(bytes: number, value: number): number[] {
  return Array.from({ length: bytes }, (_, i) => value >> 8 * (bytes - 1 - i) & 0xff);
}

function vector(lengthBytes: number, content: Iterable<number>): number[] {
  const bytes = [...content];
  return [...uint(lengthBytes, bytes.length), ...bytes];
}

function extension(type: number, content: number[]): number[] {
  return [...uint(2, type), ...vector(2, content)];
}

function handshake(type: number, body: Iterable<number>): Uint8Array {
  return new Uint8Array([type, ...vector(3, body)]);
}

function record(type: number, body: Iterable<number>): Uint8Array {
  return new Uint8Array([type, 3, 3, ...vector(2, body)]);
}
