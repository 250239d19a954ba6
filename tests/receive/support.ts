import assert from "node:assert/strict";
import { clearImmediate, setImmediate } from "node:timers";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import type { FileStat } from "../../src/domain/observation.ts";
import { type Folding, NO_FOLDING } from "../../src/domain/plan.ts";
import type {
  Clock,
  Connection,
  FileTree,
  FolderEntry,
  ReadHandle,
  TreeWatcher,
  WriteHandle,
} from "../../src/domain/ports.ts";
import { type Extension, EXTENSIONS, type Hello, PROTOCOL_VERSION } from "../../src/wire/hello.ts";
import type { JsonObject } from "../helpers/json.ts";
import { frame, FrameReader } from "../helpers/plain_client.ts";
import { exists, snapshot } from "../helpers/tree.ts";

/** A folder that goes when the test ends. */
export async function tempFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.realPath(await Deno.makeTempDir({ prefix: "mirrorsync-unit-" }));
  return {
    path,
    async [Symbol.asyncDispose]() {
      await Deno.remove(path, { recursive: true });
    },
  };
}

/** Lets everything run that can run without time passing. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Time that passes only when a test says so. What is due at once runs at once. */
export class ManualClock implements Clock {
  #monotonic = 1_000;
  #wall = Date.UTC(2026, 10, 22, 10);
  readonly #timers = new Set<{ at: number; callback: () => void }>();

  now(): number {
    return this.#wall;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  after(delayMs: number, callback: () => void): () => void {
    if (delayMs <= 0) {
      const immediate = setImmediate(callback);
      return () => clearImmediate(immediate);
    }
    const timer = { at: this.#monotonic + delayMs, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Lets `ms` pass, one timer after the other. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await turns(5);
    for (;;) {
      let next: { at: number; callback: () => void } | null = null;
      for (const timer of this.#timers) {
        if (timer.at <= end && (next === null || timer.at < next.at)) next = timer;
      }
      if (next === null) break;
      this.#pass(next.at - this.#monotonic);
      this.#timers.delete(next);
      next.callback();
      await turns(5);
    }
    this.#pass(end - this.#monotonic);
  }

  /** The machine sleeps: the wall clock goes on, timers do not. */
  sleep(ms: number): void {
    this.#wall += ms;
  }

  #pass(ms: number): void {
    this.#monotonic += ms;
    this.#wall += ms;
  }
}

/** Bytes that may wait for their reader before a write waits. */
const PIPE_BYTES = 1024 * 1024;

/** One direction of a connection in memory. */
class Pipe {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #broken: MirrorError | null = null;
  #wake: () => void = () => {};
  #room: (() => void)[] = [];
  /** While true, bytes that are written arrive nowhere: the cable is cut. */
  cut = false;

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#broken !== null) throw this.#broken;
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#bytes -= chunk.length;
        for (const go of this.#room.splice(0)) go();
        return chunk;
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#broken !== null) throw this.#broken;
    if (this.#ended) throw closed("the direction was ended");
    if (this.cut) return;
    this.#chunks.push(new Uint8Array(bytes)); // not `slice`, which shares the memory of a Buffer
    this.#bytes += bytes.length;
    this.#wake();
    while (this.#bytes > PIPE_BYTES && this.#broken === null && !this.#ended) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
  }

  end(): void {
    if (!this.cut) this.#ended = true;
    this.#stir();
  }

  break(): void {
    this.#broken ??= closed("it was closed on this side");
    this.#stir();
  }

  #stir(): void {
    this.#wake();
    for (const go of this.#room.splice(0)) go();
  }
}

function closed(why: string): MirrorError {
  return new MirrorError("link_closed", `the connection in memory is closed: ${why}`);
}

/** One end of a connection in memory. */
export class MemoryConnection implements Connection {
  readonly remoteAddress = "memory:1";
  #closed = false;

  constructor(
    readonly peerFingerprint: string,
    readonly dialled: boolean,
    readonly incoming: Pipe,
    readonly outgoing: Pipe,
  ) {}

  get isClosed(): boolean {
    return this.#closed;
  }

  read(): Promise<Uint8Array | null> {
    return this.incoming.read();
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.outgoing.write(bytes);
  }

  closeWrite(): Promise<void> {
    this.outgoing.end();
    return Promise.resolve();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.outgoing.end();
    this.incoming.break();
  }

  /** From now on nothing travels in either direction, and nobody is told: a cable that was pulled. */
  cutCable(): void {
    this.incoming.cut = true;
    this.outgoing.cut = true;
  }
}

/** Both ends of a connection; the first is the dialler's. */
export function connectionPair(
  dialler: string,
  answerer: string,
): [dialled: MemoryConnection, accepted: MemoryConnection] {
  const there = new Pipe();
  const back = new Pipe();
  return [
    new MemoryConnection(answerer, true, back, there),
    new MemoryConnection(dialler, false, there, back),
  ];
}

/** A hello with everything in it, or with what a test chooses. */
export function helloOf(
  name: string,
  options: {
    readonly extensions?: readonly Extension[];
    readonly folding?: Folding;
    readonly process?: string;
  } = {},
): Hello {
  return {
    version: PROTOCOL_VERSION,
    extensions: new Set(options.extensions ?? EXTENSIONS),
    name,
    process: options.process ?? crypto.randomUUID(),
    folding: options.folding ?? NO_FOLDING,
    windowBytes: 8 * 1024 * 1024,
  };
}

/** A frame as it came. */
export interface Frame {
  readonly header: JsonObject;
  readonly content: Uint8Array;
}

/** The far end of a link, in the hands of a test: raw frames in both directions. */
export class FarEnd {
  /** Every frame that came and was no reply. */
  readonly frames: Frame[] = [];
  readonly #connection: Connection;
  readonly #replies = new Map<string, (reply: Frame) => void>();
  readonly #onFrame: (frame: Frame) => void;
  ended = false;

  constructor(connection: Connection, onFrame: (frame: Frame) => void = () => {}) {
    this.#connection = connection;
    this.#onFrame = onFrame;
    void this.#follow();
  }

  async #follow(): Promise<void> {
    const reader = new FrameReader();
    try {
      for (let bytes = await this.#connection.read(); bytes !== null; bytes = await this.#connection.read()) {
        reader.push(bytes);
        for (let next = reader.take(); next !== null; next = reader.take()) this.#take(next);
      }
    } catch (error) {
      if (!(error instanceof MirrorError && error.code === "link_closed")) throw error;
    } finally {
      this.ended = true;
    }
  }

  #take(received: { header: Uint8Array; content: Uint8Array }): void {
    const header = JSON.parse(new TextDecoder().decode(received.header)) as JsonObject;
    const came = { header, content: received.content.slice() };
    if (header.action === undefined && header.status !== undefined) {
      const id = String(header.id);
      this.#replies.get(id)?.(came);
      this.#replies.delete(id);
      return;
    }
    this.frames.push(came);
    this.#onFrame(came);
  }

  send(header: JsonObject, content: Uint8Array | string = ""): Promise<void> {
    return this.#connection.write(frame(header, bytesOf(content)));
  }

  /** Sends a request and gives its reply. */
  async request(
    header: JsonObject & { readonly id: string },
    content: Uint8Array | string = "",
  ): Promise<Frame> {
    const reply = new Promise<Frame>((resolve) => this.#replies.set(header.id, resolve));
    await this.send(header, content);
    return await reply;
  }

  async accepted(header: JsonObject & { readonly id: string }, content: Uint8Array | string = "") {
    const reply = await this.request(header, content);
    assert.equal(reply.header.status, "ok", `was refused: ${JSON.stringify(reply.header)}`);
    return reply.header;
  }

  async refused(header: JsonObject & { readonly id: string }, content: Uint8Array | string = "") {
    const reply = await this.request(header, content);
    assert.equal(reply.header.status, "error", `was accepted: ${JSON.stringify(header)}`);
    return reply.header;
  }

  close(): void {
    this.#connection.close();
  }
}

export function bytesOf(content: Uint8Array | string): Uint8Array {
  return typeof content === "string" ? new TextEncoder().encode(content) : content;
}

/** One call of a method of a file tree: its name and the paths or values it was given. */
export interface Call {
  readonly method: Exclude<keyof FileTree, "root" | "watch"> | "write" | "flush" | "readAt" | "stat";
  readonly args: readonly unknown[];
}

/** A tree whose calls a test can look at, hold up or let fail, before and after they are done. */
export class HookedTree implements FileTree {
  before: (call: Call) => void | Promise<void> = () => {};
  after: (call: Call) => void | Promise<void> = () => {};
  readonly #inner: FileTree;

  constructor(inner: FileTree) {
    this.#inner = inner;
  }

  get root(): string {
    return this.#inner.root;
  }

  async #run<T>(method: Call["method"], args: readonly unknown[], work: () => Promise<T>): Promise<T> {
    await this.before({ method, args });
    const result = await work();
    await this.after({ method, args });
    return result;
  }

  lstat(path: string): Promise<FileStat | null> {
    return this.#run("lstat", [path], () => this.#inner.lstat(path));
  }

  list(path: string): Promise<FolderEntry[]> {
    return this.#run("list", [path], () => this.#inner.list(path));
  }

  async openRead(path: string): Promise<ReadHandle> {
    const handle = await this.#run("openRead", [path], () => this.#inner.openRead(path));
    return {
      opened: handle.opened,
      stat: () => this.#run("stat", [path], () => handle.stat()),
      readAt: (into, offset) => this.#run("readAt", [path, offset], () => handle.readAt(into, offset)),
      close: () => handle.close(),
    };
  }

  async readSmall(path: string, sizeBytes: number): Promise<{ content: Uint8Array; stat: FileStat }> {
    const file = await this.openRead(path);
    try {
      const into = new Uint8Array(sizeBytes);
      const content = into.subarray(0, await file.readAt(into, 0));
      return { content, stat: await file.stat() };
    } finally {
      file.close();
    }
  }

  async create(path: string): Promise<WriteHandle> {
    return this.#writer(path, await this.#run("create", [path], () => this.#inner.create(path)));
  }

  async reopen(path: string): Promise<WriteHandle> {
    return this.#writer(path, await this.#run("reopen", [path], () => this.#inner.reopen(path)));
  }

  #writer(path: string, handle: WriteHandle): WriteHandle {
    return {
      write: (bytes) => this.#run("write", [path, bytes.length], () => handle.write(bytes)),
      cutTo: (sizeBytes) => handle.cutTo(sizeBytes),
      setTimes: (mtimeMs) => handle.setTimes(mtimeMs),
      setExecutable: (executable) => handle.setExecutable(executable),
      flush: () => this.#run("flush", [path], () => handle.flush()),
      stat: () => handle.stat(),
      close: () => handle.close(),
    };
  }

  link(from: string, to: string): Promise<void> {
    return this.#run("link", [from, to], () => this.#inner.link(from, to));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#run("rename", [from, to], () => this.#inner.rename(from, to));
  }

  /** In its two steps, so that a test can come in between. */
  async replace(from: string, to: string, aside: string): Promise<void> {
    await this.link(to, aside);
    await this.rename(from, to);
  }

  unlink(path: string): Promise<void> {
    return this.#run("unlink", [path], () => this.#inner.unlink(path));
  }

  mkdir(path: string): Promise<void> {
    return this.#run("mkdir", [path], () => this.#inner.mkdir(path));
  }

  rmdir(path: string): Promise<void> {
    return this.#run("rmdir", [path], () => this.#inner.rmdir(path));
  }

  setTimes(path: string, mtimeMs: number): Promise<void> {
    return this.#run("setTimes", [path], () => this.#inner.setTimes(path, mtimeMs));
  }

  setExecutable(path: string, executable: boolean): Promise<void> {
    return this.#run("setExecutable", [path], () => this.#inner.setExecutable(path, executable));
  }

  copyMode(from: string, to: string): Promise<void> {
    return this.#run("copyMode", [from, to], () => this.#inner.copyMode(from, to));
  }

  flushFile(path: string): Promise<void> {
    return this.#run("flushFile", [path], () => this.#inner.flushFile(path));
  }

  flushFolder(path: string): Promise<void> {
    return this.#run("flushFolder", [path], () => this.#inner.flushFolder(path));
  }

  freeBytes(): Promise<number | null> {
    return this.#run("freeBytes", [], () => this.#inner.freeBytes());
  }

  watch(): TreeWatcher {
    return this.#inner.watch();
  }
}

/** The process has died at this point: nothing after it happens. */
export function death(): Promise<never> {
  return new Promise(() => {});
}

/** The paths of conflict copies and of old versions that were rescued, anywhere below `root`. */
export async function copiesIn(root: string): Promise<string[]> {
  return [...(await snapshot(root)).keys()].filter((path) => /\.conflict-|^recovered/.test(path)).sort();
}

/** All names below `root`, folders too; the staging folder is not among them. */
export async function namesIn(root: string): Promise<string[]> {
  return [...(await snapshot(root, { hashes: false })).keys()].sort();
}

/** Fails when something was left in staging. */
export async function assertAtRest(root: string): Promise<void> {
  assert.equal(await exists(`${root}/.mirrorsync-staging`), false, "the staging folder is gone at rest");
}
