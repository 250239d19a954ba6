import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import tls from "node:tls";
import { within } from "../../helpers/eventually.ts";
import { isObject, type JsonObject } from "../../helpers/json.ts";
import { frame, FrameReader, type PlainIdentity } from "../../helpers/plain_client.ts";

/** How a link behaves apart from the frames that are thrown at it. */
export type Manner =
  /** The first frame is a hostile one, too; a hello among them may make the link a full one. */
  | "raw"
  /** No hello: it must be sent nothing but replies. */
  | "plain"
  /** All extensions; what it is asked it answers with ok. */
  | "full"
  /** All extensions; its answers are lies, for which the other side may close the link. */
  | "lying";

export const EXTENSIONS: readonly string[] = [
  ...["pipelining", "folders", "modes", "offer", "pieces", "credit", "tree", "settled", "moves", "verify"],
  "rotation",
];
const DEADLINE_MS = 60_000;

/** A link of a trusted peer that says whatever it likes, and remembers of the replies only their number and those it waits for. */
export class HostileLink implements AsyncDisposable {
  /** Replies by their code (`ok` for those that are none), over all links: pass the same map. */
  readonly #codes: Map<string, number>;
  readonly #socket: tls.TLSSocket;
  readonly #frames = new FrameReader();
  readonly #waiting = new Map<string, (reply: JsonObject) => void>();
  /** What the other side has said that it must not say; `null` if nothing. */
  wrong: string | null = null;
  ended = false;
  readonly #closed: Promise<void>;

  constructor(
    socket: tls.TLSSocket,
    readonly manner: Manner,
    codes: Map<string, number>,
    readonly answer: (header: JsonObject) => Uint8Array | null,
  ) {
    this.#socket = socket;
    this.#codes = codes;
    this.#closed = new Promise((resolve) => socket.once("close", () => resolve()));
    socket.on("error", () => this.ended = true);
    socket.on("end", () => this.ended = true);
    socket.on("close", () => this.ended = true);
    socket.on("data", (bytes: Uint8Array) => this.#take(new Uint8Array(bytes)));
  }

  /** Connects with an identity that is trusted there; says hello unless the manner is plain. */
  static async open(
    to: { readonly port: number; readonly certificate: string; readonly identity: PlainIdentity },
    manner: Manner,
    codes: Map<string, number>,
    answer: (header: JsonObject) => Uint8Array | null,
  ): Promise<HostileLink> {
    const socket = tls.connect({
      host: "127.0.0.1",
      port: to.port,
      ca: [to.certificate],
      cert: to.identity.certificate,
      key: to.identity.key,
      checkServerIdentity: () => undefined,
    });
    const link = new HostileLink(socket, manner, codes, answer);
    await within(
      "the TLS handshake of a trusted peer",
      DEADLINE_MS,
      new Promise<void>((resolve, reject) => {
        socket.once("secureConnect", () => resolve());
        socket.once("close", () => reject(new Error("a trusted peer was refused in the handshake")));
      }),
    );
    if (manner !== "raw") await link.#begin();
    return link;
  }

  /** The first frame decides what the link is: a hello that is thrown later must change nothing any more. */
  async #begin(): Promise<void> {
    const first = this.manner === "plain" ? { id: crypto.randomUUID(), action: "ping" } : {
      ...{ id: crypto.randomUUID(), action: "hello", version: 1, extensions: EXTENSIONS, name: "hostile" },
      ...{ process: crypto.randomUUID(), folds: { case: false, unicode: false }, window: 8 * 1024 * 1024 },
    };
    const reply = await this.request(frame(first), first.id);
    assert.equal(reply?.status, "ok", `the first frame was refused: ${JSON.stringify(reply)}`);
  }

  #take(bytes: Uint8Array): void {
    this.#frames.push(bytes);
    try {
      for (let next = this.#frames.take(); next !== null; next = this.#frames.take()) {
        const header: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(next.header));
        assert.ok(isObject(header), "a header is an object");
        if (typeof header.action === "string") this.#takeRequest(header);
        else this.#takeReply(header);
      }
    } catch (error) {
      this.wrong ??= String(error);
    }
  }

  #takeReply(header: JsonObject): void {
    assert.ok(header.status === "ok" || header.status === "error", JSON.stringify(header));
    const code = header.status === "ok" ? "ok" : String(header.code);
    this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1);
    if (code === "failed" || code === "io_error") {
      this.#codes.set(`${code}: ${header.message}`.slice(0, 200), 1);
    }
    if (typeof header.id === "string") this.#waiting.get(header.id)?.(header);
  }

  #takeRequest(header: JsonObject): void {
    assert.notEqual(this.manner, "plain", `a link without a hello was sent ${JSON.stringify(header)}`);
    const answer = this.answer(header);
    if (answer !== null && !this.ended) this.#socket.write(answer);
  }

  /** Hands bytes to the system; resolves when it has taken them, or when the link has ended. */
  async send(bytes: Uint8Array): Promise<void> {
    const written = new Promise<void>((resolve) => {
      this.#socket.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), () => resolve());
    });
    await within("the peer reads on", DEADLINE_MS, Promise.race([written, this.#closed]));
  }

  /** Sends a frame and gives the reply to `id`; `null` when the link has ended instead. */
  async request(bytes: Uint8Array, id: string): Promise<JsonObject | null> {
    const reply = new Promise<JsonObject>((resolve) => this.#waiting.set(id, resolve));
    await this.send(bytes);
    const first = await within(
      "the reply to an honest frame",
      DEADLINE_MS,
      Promise.race([reply, this.#closed]),
    );
    this.#waiting.delete(id);
    return first ?? null;
  }

  /** Waits until the other side has closed the link. */
  async end(): Promise<void> {
    this.#socket.end();
    await within("the link is closed after what cannot be a frame", DEADLINE_MS, this.#closed);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await within("the socket closes", 5000, this.#closed);
  }
}
