import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type net from "node:net";
import tls from "node:tls";
import { gunzipSync } from "node:zlib";
import { pause } from "./eventually.ts";
import { isObject, type JsonObject } from "./json.ts";
import { frame, FrameReader, type PlainIdentity } from "./plain_client.ts";
import { sha256 } from "./tree.ts";

/** A file as a plain peer keeps it. */
export interface PlainFile {
  readonly content: Uint8Array;
  readonly timestamp: string;
  readonly compressed: boolean;
}

/** Settings of a {@linkcode PlainServer}. */
export interface PlainServerOptions {
  readonly identity: PlainIdentity;
  /** The certificates of those who may connect, PEM. */
  readonly trusts: readonly string[];
  /** Says why an operation is to be refused, or `null` to do it. */
  readonly refuses?: (operation: JsonObject) => string | null;
}

/**
 * A peer that knows only the plain protocol, made after the contract and not after the program: it does creates, updates and
 * deletes in memory, answers `{"status":"ok"}` without an id, and everything else, a hello too, with an error.
 */
export class PlainServer implements AsyncDisposable {
  /** The mirror that it keeps, by path. */
  readonly files = new Map<string, PlainFile>();
  /** Every operation that came whole, in order. */
  readonly operations: JsonObject[] = [];
  /** Actions that it did not know. */
  readonly unknown: unknown[] = [];
  /** What broke the plain protocol. */
  readonly violations: string[] = [];
  /** TLS connections so far whose certificate was trusted. */
  connections = 0;
  readonly port: number;
  readonly #server: tls.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #refuses: (operation: JsonObject) => string | null;

  private constructor(server: tls.Server, port: number, options: PlainServerOptions) {
    this.#server = server;
    this.port = port;
    this.#refuses = options.refuses ?? (() => null);
    // Connections that never got through the handshake, too: the server only closes when they are gone.
    server.on("connection", (socket: net.Socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("secureConnection", (socket: tls.TLSSocket) => this.#serve(socket));
  }

  /** Listens on a port of 127.0.0.1. */
  static async listen(port: number, options: PlainServerOptions): Promise<PlainServer> {
    const server = tls.createServer({
      key: options.identity.key,
      cert: options.identity.certificate,
      ca: [...options.trusts],
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      // Else the reply to a client that has ended its direction would be lost.
      allowHalfOpen: true,
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => resolve());
    });
    return new PlainServer(server, port, options);
  }

  #serve(socket: tls.TLSSocket): void {
    this.connections++;
    this.#sockets.add(socket);
    const frames = new FrameReader();
    let count = 0;
    let busy = false;
    let ended = false;
    const next = async () => {
      if (busy) return;
      busy = true;
      for (let received = frames.take(); received !== null; received = frames.take()) {
        const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(received.header));
        const first = count++ === 0;
        const answer = this.#answer(header, received.content, first);
        // A sender that does not wait for the reply shows itself in the time that it is kept waiting.
        await pause(1);
        if (frames.buffered > 0) {
          this.violations.push(`more was sent before the reply to ${JSON.stringify(header)}`);
        }
        if (!socket.destroyed) socket.write(Buffer.from(frame(answer)));
      }
      busy = false;
      if (ended) socket.end();
    };
    socket.on("data", (bytes: Uint8Array) => {
      frames.push(new Uint8Array(bytes));
      next().catch((error: unknown) => {
        this.violations.push(String(error));
        socket.destroy();
      });
    });
    socket.on("error", () => {});
    socket.on("end", () => {
      ended = true;
      if (!busy) socket.end();
    });
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #answer(header: unknown, sent: Uint8Array, first: boolean): JsonObject {
    if (!isObject(header)) return this.#violation(`a header that is no object: ${JSON.stringify(header)}`);
    const { action, path, timestamp, size, hash, sender, compressed } = header;
    if (action !== "create" && action !== "update" && action !== "delete") {
      this.unknown.push(action);
      if (!first) this.#violation(`after its first frame was refused: ${JSON.stringify(header)}`);
      return { status: "error", code: "unknown_action", message: `I don't know ${String(action)}` };
    }
    this.operations.push(header);
    for (
      const [key, value, type] of [
        ["id", header.id, "string"],
        ["path", path, "string"],
        ["timestamp", timestamp, "string"],
        ["size", size, "number"],
        ["hash", hash, "string"],
        ["sender", sender, "string"],
        ["compressed", compressed, "boolean"],
      ] as const
    ) {
      if (typeof value !== type && !(action === "delete" && (key === "size" || key === "hash"))) {
        return this.#violation(`${key} is ${JSON.stringify(value)} in ${JSON.stringify(header)}`);
      }
    }
    if (typeof path !== "string" || path.normalize("NFC") !== path) {
      return this.#violation(`path ${String(path)}`);
    }
    const reason = this.#refuses(header);
    if (reason !== null) return { status: "error", code: "refused_here", message: reason };
    if (action === "delete") {
      if (sent.length > 0) return this.#violation(`a delete of ${path} with content`);
      this.files.delete(path);
      return { status: "ok" };
    }
    const content = compressed === true ? new Uint8Array(gunzipSync(sent)) : sent.slice();
    if (content.length !== size) {
      return this.#violation(`${path}: ${content.length} bytes, the header says ${size}`);
    }
    if (sha256(content) !== hash) return this.#violation(`${path}: not the content that the header says`);
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/.test(String(timestamp))) {
      return this.#violation(`${path}: ${String(timestamp)} is not RFC 3339`);
    }
    this.files.set(path, { content, timestamp: String(timestamp), compressed: compressed === true });
    return { status: "ok" };
  }

  #violation(what: string): JsonObject {
    this.violations.push(what);
    return { status: "error", code: "violation", message: what };
  }

  /** The text of a file, `null` if there is none. */
  text(path: string): string | null {
    const file = this.files.get(path);
    return file === undefined ? null : new TextDecoder().decode(file.content);
  }

  /** Fails when the sender has broken the plain protocol so far. */
  assertNoViolation(): void {
    assert.deepEqual(this.violations, []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
