import {
  type HeaderExtensions,
  idOf,
  NO_EXTENSIONS,
  parseRawHeader,
  type RawHeader,
} from "../domain/header.ts";
import { codeOf, type ErrorCode, messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Clock, Connection, Random } from "../domain/ports.ts";
import { FrameReader } from "../wire/frame_reader.ts";
import { FrameWriter, type Lane } from "../wire/frame_writer.ts";
import type { Extension, Hello } from "../wire/hello.ts";
import { Credit, FRAME_COST_BYTES } from "./credit.ts";
import { type Limits, paceTowards, pieceBytesAt } from "./limits.ts";
import { PacedSource } from "./paced_source.ts";

/** A reply to a request. `header` has further fields for some extension requests, which may also bring content. */
export interface Reply {
  readonly status: "ok" | "error";
  readonly code: string;
  readonly message: string;
  readonly header: RawHeader;
  readonly content: Uint8Array;
}

/**
 * Takes a frame that is not a reply. It reads as much of the content as it wants; the rest is skipped when it resolves, and the
 * next frame is read only then. It must not throw.
 */
export type FrameHandler = (link: Link, header: RawHeader, content: FrameReader) => Promise<void>;

/** How often a link looks whether the other side is still there. */
const TICK_MS = 3_000;
/** Silent ticks after which a link is dead: found out within 18 s, as the first tick after a byte does not count. */
const DEAD_TICKS = 5;
/** Silent ticks inside a frame or before a reply after which a link without keep-alive is given up. */
const STALLED_TICKS = 10;
/** Content that no longer matters is read over up to this size, to keep the link; past it the link is closed. */
const MAX_SKIPPED_BYTES = 256 * 1024 * 1024;
/** How long a link that breaks the rules is read over, so that the reason reaches the other side. */
const LAST_WORD_MS = 2_000;
/** The largest content of a reply that is accepted: a listing of one bucket of a tree. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;
/** What may be taken in and not done with on a link without flow control; with it, it is the window that was granted. */
const PLAIN_WINDOW_BYTES = 16 * 1024 * 1024;
/**
 * Replies that wait because the other side does not read them. It must be able to have one listing of a tree, and more, under way in
 * each direction; on a plain link there are none.
 */
const MAX_UNREAD_BYTES = 80 * 1024 * 1024;
const MAX_UNREAD_PLAIN_BYTES = 4 * 1024 * 1024;
/** Credit is returned in lumps of at least this, so that returning it costs next to nothing. */
const GRANT_BYTES = 256 * 1024;

/**
 * One link to one peer: frames in both directions, requests with their replies, keep-alive and flow control. Full after a hello,
 * plain without one.
 */
export class Link {
  readonly connection: Connection;
  /** The peer's local number and name. */
  readonly peer: { readonly number: number; readonly name: string };
  /** Resolves with the reason when the link has ended. */
  readonly closed: Promise<MirrorError>;
  readonly openedMs: number;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #limits: Limits | null;
  readonly #pacedSource: PacedSource | null;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #outstanding = new Map<
    string,
    { resolve: (reply: Reply) => void; reject: (error: unknown) => void }
  >();
  #hello: Hello | null = null;
  #heard: number | null = null;
  #shared: ReadonlySet<Extension> = new Set();
  #headerExtensions = NO_EXTENSIONS;
  #credit = new Credit(Infinity);
  #held: Promise<void> | null = null;
  /** Resolves when the peer has ended its direction. */
  #served: Promise<unknown> = new Promise(() => {});
  #ungranted = 0;
  /** Bytes that the peer has sent, as credit counts them, and that were not granted again. */
  #owed = 0;
  #windowBytes = PLAIN_WINDOW_BYTES;
  #wakeOwed: () => void = () => {};
  #framesRead = 0;
  #bytesSeen = 0;
  #bytesSent = 0;
  /** When either side last did anything for the other but keep the link alive, as far as is known; monotonic milliseconds. */
  #workedAt: number;
  #workBytesSeen = 0;
  /** The ids of our pings. */
  readonly #pings = new Set<string>();
  /** A ping of ours has not had its turn yet. */
  #pingWaits = false;
  #silentTicks = 0;
  #cancelTick: () => void = () => {};
  #ended: MirrorError | null = null;
  #resolveClosed!: (reason: MirrorError) => void;
  readonly #onWriteFailure = (error: unknown) => this.close(linkError(error));

  constructor(
    parts: {
      connection: Connection;
      peer: { number: number; name: string };
      clock: Clock;
      random: Random;
      limits?: Limits | null;
    },
  ) {
    this.connection = parts.connection;
    this.peer = parts.peer;
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.openedMs = parts.clock.now();
    this.#workedAt = parts.clock.monotonic();
    const limits = this.#limits = parts.limits ?? null;
    const read = () => this.connection.read();
    const paced = this.#pacedSource = limits === null ? null : new PacedSource(read, limits.receive);
    this.#reader = new FrameReader(paced === null ? read : () => paced.read());
    this.#writer = new FrameWriter((bytes) => this.connection.write(bytes));
    this.#writer.pace = limits?.send ?? null;
    this.closed = new Promise((resolve) => this.#resolveClosed = resolve);
    this.#tick();
  }

  /** The peer's hello; `null` on a plain link. */
  get hello(): Hello | null {
    return this.#hello;
  }

  get isClosed(): boolean {
    return this.#ended !== null;
  }

  get bytesWritten(): number {
    return this.#writer.bytesWritten;
  }

  get bytesRead(): number {
    return this.#reader.bytesRead;
  }

  /** Frames of any kind that have begun to come, those included that no handler is told of. */
  get framesRead(): number {
    return this.#framesRead;
  }

  /** For how long nothing was done on this link but to keep it alive, milliseconds; to be asked often. */
  get silentMs(): number {
    if (this.#writer.workBytes !== this.#workBytesSeen) {
      this.#workBytesSeen = this.#writer.workBytes;
      this.working();
    }
    return this.#clock.monotonic() - this.#workedAt;
  }

  /** This side is at work for the link, although nothing travels: it reads a file, say. */
  working(): void {
    this.#workedAt = this.#clock.monotonic();
  }

  /** Whether an answer of the peer is waited for. */
  get isAwaiting(): boolean {
    return this.#outstanding.size > this.#pings.size;
  }

  /** Whether both sides have the extension. */
  has(extension: Extension): boolean {
    return this.#shared.has(extension);
  }

  /** The optional header fields that may be used on this link. */
  get headerExtensions(): HeaderExtensions {
    return this.#headerExtensions;
  }

  /** By how much the peer's clock is ahead of ours, milliseconds, as well as is known; `null` when it has not told its time. */
  get clockAheadMs(): number | null {
    if (this.#heard === null || this.#hello?.timeMs === undefined) return null;
    return this.#hello.timeMs + (this.#clock.monotonic() - this.#heard) - this.#clock.now();
  }

  /**
   * Makes the link a full one.
   *
   * @param heard When the peer's clock told the time that is in its hello, as our monotonic clock has it.
   */
  becomeFull(theirs: Hello, ours: Hello, heard: number | null = null): void {
    this.#hello = theirs;
    this.#heard = heard;
    this.#shared = new Set([...theirs.extensions].filter((extension) => ours.extensions.has(extension)));
    this.#headerExtensions = {
      folders: this.has("folders"),
      modes: this.has("modes"),
      offer: this.has("offer"),
      pieces: this.has("pieces"),
      moves: this.has("moves"),
    };
    this.#credit = new Credit(this.has("credit") ? theirs.windowBytes : Infinity);
    if (this.has("credit")) this.#windowBytes = ours.windowBytes;
    this.#writer.pace = paceTowards(theirs, this.#limits, this.#clock);
  }

  /** Bytes that a piece of a large file should have, at most: what comes after it waits for so long. */
  get pieceBytes(): number {
    return pieceBytesAt(this.#writer.pace);
  }

  /** Keeps the link from reading past the next frame until the returned function is called: that frame decides how to read on. */
  hold(): () => void {
    let release!: () => void;
    this.#held = new Promise((resolve) =>
      release = () => {
        this.#held = null;
        resolve();
      }
    );
    return release;
  }

  /** Reads frames until the stream ends; the returned promise resolves when it has, with or without an error. */
  serve(onFrame: FrameHandler): Promise<MirrorError | null> {
    const ended = this.#readFrames(onFrame);
    this.#served = ended;
    return ended;
  }

  async #readFrames(onFrame: FrameHandler): Promise<MirrorError | null> {
    try {
      for (;;) {
        const head = await this.#reader.head();
        // What had come before the end and was not read yet is part of what has ended: it must take no effect any more.
        if (this.#ended !== null) return this.#ended;
        if (head === null) return null;
        this.#framesRead++;
        let header: RawHeader;
        try {
          header = parseRawHeader(head.headerBytes);
        } catch (error) {
          this.refuse(null, codeOf(error, "bad_header"), messageOf(error));
          await this.#skipRest();
          continue;
        }
        const id = idOf(header);
        const keepsAlive = header["action"] === "ping" || (id !== null && this.#pings.delete(id));
        if (!keepsAlive) this.working();
        if (header["action"] === undefined && header["status"] !== undefined) await this.#takeReply(header);
        else if (header["action"] === "ping") this.reply({ status: "ok", id });
        else if (header["action"] === "credit" && this.has("credit")) this.#takeCredit(header);
        else await onFrame(this, header, this.#reader);
        await this.#skipRest();
        if (this.#held !== null) await this.#held;
        // A peer that goes beyond its credit, or does not read its replies, is not read from: that bounds what is held for it.
        await this.#withinWindow();
        await this.#writer.controlBelow(this.#hello === null ? MAX_UNREAD_PLAIN_BYTES : MAX_UNREAD_BYTES);
      }
    } catch (error) {
      const reason = error instanceof MirrorError
        ? error
        : new MirrorError("link_closed", messageOf(error), { cause: error });
      if (reason.code === "bad_frame") await this.#lastWord(reason);
      return reason;
    }
  }

  /**
   * Sends a request and waits for its reply.
   *
   * @throws {MirrorError} `link_closed` when the link ends first: whether the request took effect is then unknown.
   */
  request(lane: Lane, header: { readonly id: string }, content: Uint8Array | null = null): Promise<Reply> {
    const reply = this.expectReply(header.id);
    this.#writer.post(lane, header, content, this.#onWriteFailure);
    return reply;
  }

  /** Waits for the reply to a request that is sent by {@linkcode notify}, in several frames. */
  expectReply(id: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== null) return reject(this.#ended);
      this.#outstanding.set(id, { resolve, reject });
    });
  }

  /** No longer waits for a reply. */
  forget(id: string): void {
    this.#outstanding.delete(id);
  }

  /** Sends one frame whose content is made while it is written; nothing else is sent in the meantime. */
  async stream(header: object, contentBytes: number, source: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      await this.#writer.stream(header, contentBytes, source);
    } catch (error) {
      // Part of a frame is out: nothing can follow it.
      this.close(linkError(error));
      throw error;
    }
  }

  /** Sends a frame that has no reply; resolves when it was handed to the system. */
  notify(lane: Lane, header: object, content: Uint8Array | null = null): Promise<void> {
    return this.#writer.send(lane, header, content);
  }

  /** Answers a request. */
  reply(header: object, content: Uint8Array | null = null): void {
    this.#writer.post("control", header, content, this.#onWriteFailure);
  }

  /** Answers a request with an error; without an id when the request had none that could be read. */
  refuse(id: string | null, code: ErrorCode, message: string): void {
    this.reply({ status: "error", ...(id === null ? {} : { id }), code, message });
  }

  /**
   * Waits until the peer has room for an operation or a piece of `contentBytes`.
   *
   * @returns Whether it was waited for.
   */
  credit(contentBytes: number, bulk: boolean): Promise<boolean> {
    return this.#credit.take(contentBytes, bulk);
  }

  /** Gives back what {@linkcode credit} has taken for a frame that is not sent after all. */
  returnCredit(contentBytes: number): void {
    this.#credit.grant(contentBytes + FRAME_COST_BYTES);
  }

  /** Notes that the peer has sent what costs it `bytes`: to be given back by {@linkcode grant}. */
  owe(bytes: number): void {
    this.#owed += bytes;
  }

  async #withinWindow(): Promise<void> {
    while (this.#owed > this.#windowBytes && !this.isClosed) {
      await new Promise<void>((resolve) => this.#wakeOwed = resolve);
    }
  }

  /** Returns credit to the peer: `bytes` of what it sent (with each frame's cost) were taken. */
  grant(bytes: number): void {
    this.#owed -= bytes;
    this.#wakeOwed();
    if (!this.has("credit") || this.isClosed) return;
    this.#ungranted += bytes;
    if (this.#ungranted < GRANT_BYTES) return;
    this.reply({ action: "credit", bytes: this.#ungranted });
    this.#ungranted = 0;
  }

  /** Ends the link at once, with what is on its way in either direction. Safe to call again. */
  close(reason: MirrorError): void {
    if (this.#ended !== null) return;
    this.#ended = reason;
    this.#cancelTick();
    this.#writer.break(reason);
    this.#pacedSource?.stop();
    this.#credit.close(reason);
    this.#wakeOwed();
    for (const { reject } of this.#outstanding.values()) reject(reason);
    this.#outstanding.clear();
    this.connection.close();
    this.#resolveClosed(reason);
  }

  /**
   * Queued frames go out, then our direction ends; the link is closed when the other side has ended its own, or after a second:
   * closing at once could take back what is still on its way.
   */
  async flushAndEnd(): Promise<void> {
    if (this.#ended !== null) return;
    await this.#writer.idle();
    await this.connection.closeWrite().catch(() => {});
    let cancel = () => {};
    const patience = new Promise<void>((resolve) => cancel = this.#clock.after(1_000, resolve));
    await Promise.race([this.closed, this.#served, patience]);
    cancel();
    this.close(new MirrorError("link_closed", "the peer ended the link"));
  }

  /**
   * Says why the link is closed, and reads over what still comes for a moment: closing while bytes are on their way would take
   * the reason back.
   */
  async #lastWord(reason: MirrorError): Promise<void> {
    this.refuse(null, reason.code, reason.message);
    await this.#writer.idle();
    await this.connection.closeWrite().catch(() => {});
    let late = false;
    const cancel = this.#clock.after(LAST_WORD_MS, () => {
      late = true;
      this.connection.close();
    });
    try {
      while (!late && await this.connection.read() !== null);
    } catch {
      // The other side is gone: nobody is left to tell.
    }
    cancel();
  }

  async #skipRest(): Promise<void> {
    if (this.#reader.contentLeft > MAX_SKIPPED_BYTES) {
      throw new MirrorError(
        "bad_frame",
        `content of ${this.#reader.contentLeft} bytes that belongs to nothing`,
      );
    }
    await this.#reader.skip();
  }

  async #takeReply(header: RawHeader): Promise<void> {
    if (this.#reader.contentLeft > MAX_REPLY_BYTES) {
      throw new MirrorError("bad_frame", "a reply's content is too large");
    }
    const content = await this.#reader.rest();
    // A peer that speaks only the plain protocol may leave the id out; it is sent one request at a time.
    const id = idOf(header) ?? (this.#hello === null ? this.#outstanding.keys().next().value : undefined);
    const waiting = id === undefined ? undefined : this.#outstanding.get(id);
    if (id === undefined || waiting === undefined) return;
    this.#outstanding.delete(id);
    const { status, code, message } = header;
    waiting.resolve({
      status: status === "ok" ? "ok" : "error",
      code: typeof code === "string" ? code : "failed",
      message: typeof message === "string" ? message.slice(0, 2000) : "the peer gave no reason",
      header,
      content,
    });
  }

  #takeCredit(header: RawHeader): void {
    const bytes = header["bytes"];
    if (typeof bytes === "number" && Number.isSafeInteger(bytes) && bytes > 0) this.#credit.grant(bytes);
  }

  /**
   * Counts silence in ticks, not by the clock: a process that was stopped, or a control thread that was busy, first reads what
   * has come meanwhile before it gives anybody up.
   */
  #tick(): void {
    this.#cancelTick = this.#clock.after(TICK_MS, () => {
      const seen = this.#reader.bytesRead + this.#writer.bytesWritten * (this.#hello === null ? 1 : 0);
      this.#silentTicks = seen === this.#bytesSeen ? this.#silentTicks + 1 : 0;
      this.#bytesSeen = seen;
      const sent = this.#writer.bytesWritten;
      // A peer cannot answer a ping that still waits behind what we are sending.
      if (this.#pingWaits && sent !== this.#bytesSent) this.#silentTicks = Math.min(this.#silentTicks, 1);
      this.#bytesSent = sent;
      if (this.#hello !== null) {
        if (this.#silentTicks >= DEAD_TICKS) return this.#stalled("the peer has been silent for 15 s");
        // Under a limit its own ping may be a long way behind in what we have not read yet: it hears of us all the same.
        if (this.#silentTicks >= 1 || this.#limits !== null) this.#ping();
      } else if (
        this.#silentTicks >= STALLED_TICKS && (this.#reader.insideFrame || this.#outstanding.size > 0)
      ) {
        return this.#stalled("the peer fell silent inside a frame or before its reply");
      }
      this.#tick();
    });
  }

  #ping(): void {
    if (this.#pingWaits) return;
    this.#pingWaits = true;
    const id = this.#random.uuid();
    this.#pings.add(id);
    this.expectReply(id).catch(() => {}); // the link has ended, which everybody is told
    this.#writer.send("control", { id, action: "ping" }).then(
      () => this.#pingWaits = false,
      (error) => this.close(linkError(error)),
    );
  }

  #stalled(message: string): void {
    this.close(new MirrorError("link_stalled", message));
  }
}

function linkError(error: unknown): MirrorError {
  return error instanceof MirrorError
    ? error
    : new MirrorError("link_closed", messageOf(error), { cause: error });
}
