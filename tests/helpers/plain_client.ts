import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import { within } from "./eventually.ts";
import { isObject, type JsonObject } from "./json.ts";
import { sha256 } from "./tree.ts";

/** A key pair and a self-signed certificate, made here and not by the program. */
export interface PlainIdentity {
  /** As PEM. */
  readonly certificate: string;
  /** As PEM (PKCS #8). */
  readonly key: string;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
}

/** Makes an identity as the author of a second implementation would. */
export async function makeIdentity(name: string): Promise<PlainIdentity> {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() + 10 * 365 * 86_400_000),
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ],
  });
  const pem = certificate.toString("pem");
  const key = x509.PemConverter.encode(
    await crypto.subtle.exportKey("pkcs8", keys.privateKey),
    "PRIVATE KEY",
  );
  return { certificate: pem, key, fingerprint: fingerprintOf(pem) };
}

/** SHA-256 of a certificate in PEM, lower-case hex. */
export function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

/** One frame, byte for byte; a header that is no object is sent as it is. Either length can be made to lie. */
export function frame(
  header: JsonObject | string | Uint8Array,
  content: Uint8Array = new Uint8Array(),
  lengths: { readonly header?: bigint; readonly content?: bigint } = {},
): Uint8Array {
  const json = header instanceof Uint8Array
    ? header
    : new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + 8 + content.length);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, lengths.header ?? BigInt(json.length));
  bytes.set(json, 8);
  view.setBigUint64(8 + json.length, lengths.content ?? BigInt(content.length));
  bytes.set(content, 16 + json.length);
  return bytes;
}

/** The header of an honest operation with `content` (that of the file, uncompressed); `more` changes or adds fields. */
export function operation(
  action: "create" | "update" | "delete",
  path: string,
  content: Uint8Array | string = "",
  more: JsonObject = {},
): JsonObject & { readonly id: string } {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return {
    id: crypto.randomUUID(),
    action,
    path,
    timestamp: "2026-03-04T05:06:07.089Z",
    size: bytes.length,
    hash: sha256(bytes),
    sender: "plain",
    compressed: false,
    ...more,
  };
}

/** What is left of a stream of frames, taken apart by hand. */
export class FrameReader {
  #pieces: Uint8Array[] = [];
  #length = 0;

  /** Bytes that belong to no complete frame yet. */
  get buffered(): number {
    return this.#length;
  }

  push(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
  }

  /** Takes the next complete frame, or `null` when it has not arrived. */
  take(): { readonly header: Uint8Array; readonly content: Uint8Array } | null {
    if (this.#length < 8) return null;
    const headerLength = this.#lengthAt(0);
    if (this.#length < 16 + headerLength) return null;
    const contentLength = this.#lengthAt(8 + headerLength);
    const total = 16 + headerLength + contentLength;
    if (this.#length < total) return null;
    const all = this.#joined();
    this.#pieces = all.length === total ? [] : [all.subarray(total)];
    this.#length -= total;
    return { header: all.subarray(8, 8 + headerLength), content: all.subarray(16 + headerLength, total) };
  }

  #lengthAt(offset: number): number {
    const eight = new Uint8Array(8);
    let filled = 0;
    let skip = offset;
    for (const piece of this.#pieces) {
      if (filled === 8) break;
      if (skip >= piece.length) {
        skip -= piece.length;
        continue;
      }
      const part = piece.subarray(skip, skip + 8 - filled);
      eight.set(part, filled);
      filled += part.length;
      skip = 0;
    }
    const length = new DataView(eight.buffer).getBigUint64(0);
    if (length > 1n << 40n) throw new Error(`a frame with a length of ${length} came in`);
    return Number(length);
  }

  #joined(): Uint8Array {
    const first = this.#pieces[0];
    if (this.#pieces.length === 1 && first !== undefined) return first;
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    this.#pieces = [all];
    return all;
  }
}

/** A reply as it came. */
export interface Reply {
  readonly status: unknown;
  readonly id: unknown;
  readonly code: unknown;
  readonly message: unknown;
}

/** How to connect. */
export interface PlainClientOptions {
  readonly port: number;
  /** The certificate that the server has to show, PEM. */
  readonly server: string;
  /** `null` shows none. */
  readonly identity: PlainIdentity | null;
  readonly maxVersion?: "TLSv1.2" | "TLSv1.3";
}

/** A client that knows the plain protocol and nothing else: no hello, whole files, one reply for each operation. */
export class PlainClient implements AsyncDisposable {
  /** Whatever went wrong on the socket. */
  error: Error | null = null;
  readonly #socket: tls.TLSSocket;
  readonly #frames = new FrameReader();
  readonly #replies: Reply[] = [];
  #ended = false;
  #wake: () => void = () => {};
  readonly #closed: Promise<void>;

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on("data", (bytes: Uint8Array) => {
      this.#frames.push(new Uint8Array(bytes));
      try {
        for (let next = this.#frames.take(); next !== null; next = this.#frames.take()) this.#accept(next);
      } catch (error) {
        this.error = error instanceof Error ? error : new Error(String(error));
        this.#ended = true;
      }
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on("end", end);
    socket.on("error", (error: Error) => {
      this.error = error;
      end();
    });
    this.#closed = new Promise((resolve) =>
      socket.on("close", () => {
        end();
        resolve();
      })
    );
  }

  /** Connects. With TLS 1.3 that says nothing yet on whether the server accepts the certificate. */
  static async connect(options: PlainClientOptions): Promise<PlainClient> {
    const { identity, maxVersion } = options;
    const socket = tls.connect({
      host: "127.0.0.1",
      port: options.port,
      ca: [options.server],
      // A pinned certificate is checked by its fingerprint, below, not by a name.
      checkServerIdentity: () => undefined,
      ...(identity !== null && { cert: identity.certificate, key: identity.key }),
      ...(maxVersion !== undefined && { maxVersion, minVersion: "TLSv1.2" as const }),
    });
    const client = new PlainClient(socket);
    try {
      await within("the TLS handshake", 15_000, client.#secured());
      const shown = socket.getPeerCertificate().fingerprint256.replaceAll(":", "").toLowerCase();
      assert.equal(shown, fingerprintOf(options.server), "the server shows another certificate than its own");
      return client;
    } catch (error) {
      await client[Symbol.asyncDispose]();
      throw error;
    }
  }

  #secured(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once("secureConnect", () => resolve());
      this.#socket.once("error", reject);
      this.#socket.once("close", () => reject(this.error ?? new Error("closed in the TLS handshake")));
    });
  }

  #accept(received: { readonly header: Uint8Array; readonly content: Uint8Array }): void {
    const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(received.header));
    assert.ok(isObject(header), "the header of a reply is an object");
    assert.equal(received.content.length, 0, "a reply has no content");
    assert.ok(header.status === "ok" || header.status === "error", `not a reply: ${JSON.stringify(header)}`);
    if (header.status === "error") {
      assert.equal(typeof header.code, "string", "an error has a code");
      assert.equal(typeof header.message, "string", "an error has a message");
    }
    this.#replies.push({ status: header.status, id: header.id, code: header.code, message: header.message });
  }

  /** Hands raw bytes to the system. */
  async send(bytes: Uint8Array): Promise<void> {
    const step = 256 * 1024;
    for (let at = 0; at < bytes.length; at += step) {
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(
          Buffer.from(bytes.buffer, bytes.byteOffset + at, Math.min(step, bytes.length - at)),
          (error) => error ? reject(error) : resolve(),
        );
      });
    }
  }

  /** The next reply, `null` when the server has ended its direction (cleanly or not). */
  async reply(deadlineMs = 30_000): Promise<Reply | null> {
    const next = async (): Promise<Reply | null> => {
      while (this.#replies.length === 0 && !this.#ended) {
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
      return this.#replies.shift() ?? null;
    };
    return await within("a reply", deadlineMs, next());
  }

  /** Replies that came and were not asked for yet, and bytes of an unfinished one. */
  get unread(): number {
    return this.#replies.length + this.#frames.buffered;
  }

  /** Sends one operation and gives its reply; fails when the server hangs up instead. */
  async request(header: JsonObject, content: Uint8Array | string = ""): Promise<Reply> {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    await this.send(frame(header, bytes));
    const reply = await this.reply();
    assert.ok(
      reply,
      `the server hung up (${this.error?.message ?? "cleanly"}) instead of a reply to ${brief(header)}`,
    );
    if (typeof header.id === "string") {
      assert.equal(reply.id, header.id, `a reply carries the id of its operation: ${JSON.stringify(reply)}`);
    }
    return reply;
  }

  /** Sends an operation that has to be acknowledged. */
  async accepted(header: JsonObject, content: Uint8Array | string = ""): Promise<void> {
    const reply = await this.request(header, content);
    assert.equal(reply.status, "ok", `${brief(header)} was refused: ${JSON.stringify(reply)}`);
  }

  /** Sends an operation that has to be refused; the reply. */
  async refused(header: JsonObject, content: Uint8Array | string = ""): Promise<Reply> {
    const reply = await this.request(header, content);
    assert.equal(reply.status, "error", `${brief(header)} was accepted`);
    return reply;
  }

  /** Creates a file with `text` at `path`, which has to succeed: shows that the link still serves. */
  async stillServes(path: string, text = `honest ${path}`): Promise<void> {
    await this.accepted(operation("create", path, text), text);
  }

  /** Ends the own direction; replies still come. */
  closeWrite(): void {
    this.#socket.end();
  }

  /** Waits until the server has ended its direction; fails if a reply comes instead. */
  async end(): Promise<void> {
    const reply = await this.reply();
    assert.equal(reply, null, `a reply instead of the end: ${JSON.stringify(reply)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await within("the socket closes", 5000, this.#closed);
  }
}

function brief(header: JsonObject): string {
  const text = JSON.stringify(header);
  return text.length > 300 ? `${text.slice(0, 300)}…` : text;
}
