import { createHash, type Hash } from "node:crypto";
import { ChunkList } from "../chunks/chunk_list.ts";
import { Differ, type Run } from "../chunks/differ.ts";
import type { Cutting } from "../chunks/gear.ts";
import { ScriptWriter } from "../chunks/script.ts";
import { free } from "../domain/free.ts";
import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { FileStat, Observation } from "../domain/observation.ts";
import type { Clock, ReadHandle } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { Link } from "../link/link.ts";
import { frameBytes } from "../wire/frame.ts";
import { Compression } from "./compression.ts";
import type { Similar } from "./similar.ts";
import { PIECE_BYTES, Pieces } from "./pieces.ts";

const READ_BYTES = 256 * 1024;
/** How often the receiver may ask to go on elsewhere: one that never has enough is not sent to for ever. */
const MAX_TURNS = 200;
/** Pieces whose buffers are in use at once. */
const MAX_BUFFERS = 16;

/** Where the receiver wants the transfer to go on. */
interface Resume {
  readonly turn: number;
  /** Offsets with the SHA-256 of what is before each, the first one first. */
  readonly marks: readonly { readonly offset: number; readonly digest: string }[];
  readonly plainUntil: number;
  /** A base that the receiver does not have. */
  readonly lacks: string | null;
  /** What the receiver has instead. */
  readonly has: Base | null;
}

/** Content that the receiver has, and of which it is remembered here how it is cut. */
export interface Base {
  /** SHA-256 of the whole of it. */
  readonly hash: string;
  readonly chunks: ChunkList;
}

/** What one way through the file has shown. */
export interface Passed {
  readonly hash: string;
  /** Its {@linkcode ChunkList}; `null` when the pass did not see the whole file. */
  readonly chunks: Uint8Array | null;
}

export interface OutgoingParts {
  readonly link: Link;
  readonly id: string;
  readonly observed: Observation;
  readonly file: ReadHandle;
  readonly stat: FileStat;
  /** Content that the receiver has, the likest first. */
  readonly bases: readonly Base[];
  /** Finds more of it. */
  readonly similar: Similar;
  readonly clock: Clock;
  /** It has changed so often while it was read that it is sent although it does. */
  readonly restless: boolean;
  readonly onProgress: (doneBytes: number) => void;
}

/** Thrown through a pass when the receiver has asked to go on elsewhere, or has refused. */
const STOPPED = new Error("the receiver has stopped this pass");

/**
 * The pieces of one large file on their way out. The file is read from its start to its end, hashed, cut into chunks, and sent as
 * what differs from the base; as often as the receiver asks for it to go on somewhere else.
 */
export class Outgoing {
  readonly #parts: OutgoingParts;
  readonly #compression: Compression;
  #resume: Resume | null = null;
  #onResume: () => void = () => {};
  #turn = 0;
  #stopped = false;
  #failure: MirrorError | null = null;
  /** Whether the next piece is the first of its pass. */
  #isFirst = true;
  #passing = false;
  readonly #slices: Slices;
  #bases: Base[];
  #cutting: Cutting | null;
  /** Bytes that are given in one piece on this link, at most. */
  readonly #pieceBytes: number;
  readonly #free: Uint8Array[] = [];
  #buffers = 0;
  readonly #waitingForBuffer: ((buffer: Uint8Array) => void)[] = [];
  wireBytes = 0;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
    this.#compression = new Compression(() => parts.clock.monotonic());
    this.#slices = new Slices(parts.clock);
    this.#bases = [...parts.bases];
    this.#cutting = this.#bases[0]?.chunks.cutting ?? null;
    this.#pieceBytes = Math.min(PIECE_BYTES, parts.link.pieceBytes);
  }

  /** How often the receiver has made it begin anew. */
  get turn(): number {
    return this.#turn;
  }

  /** Ends the pass that is under way: the receiver has refused. */
  stop(): void {
    this.#stopped = true;
    this.#onResume();
  }

  get path(): RelativePath {
    return this.#parts.observed.path;
  }

  /**
   * Whether what is sent can only be thrown away, as another file has taken its name. A file that never rests is sent all the same:
   * else none of its versions would ever arrive.
   */
  isOutdatedBy({ inode, device }: FileStat): boolean {
    const { stat, restless } = this.#parts;
    return !restless && stat.inode !== 0 && (inode !== stat.inode || device !== stat.device);
  }

  /** Ends the pass that is under way, if one is: the file is not there any more. What was sent whole is answered as ever. */
  abandon(): void {
    if (this.#passing) this.fail(gone(this.#parts.observed));
  }

  /**
   * The receiver says where to go on, and perhaps what it has. What cannot be understood ends the transfer with an error: the receiver
   * would wait for what it has asked for.
   *
   * @param content The chunks of what it has, if it says that it has something.
   */
  resume(header: RawHeader, content: Uint8Array): void {
    const { turn, marks, plain, lacks, has } = header;
    const chunks = typeof has === "string" ? ChunkList.parse(content) : null;
    if (!isCount(turn) || turn === 0 || !Array.isArray(marks)) {
      return this.fail(new MirrorError("bad_header", "the peer's `resume` cannot be understood"));
    }
    if (turn <= this.#turn) return; // what it asks for is on its way
    if (turn > MAX_TURNS) {
      return this.fail(
        new MirrorError(
          "failed",
          `the file had to be begun elsewhere ${MAX_TURNS} times: what the peer has of it may be damaged (\`mirrorsync verify\`)`,
        ),
      );
    }
    this.#resume = {
      turn,
      marks: marks.slice(0, 100).flatMap((mark: unknown) => {
        if (!Array.isArray(mark)) return [];
        const [offset, digest] = mark;
        return isCount(offset) && typeof digest === "string" ? [{ offset, digest }] : [];
      }).sort((a, b) => a.offset - b.offset),
      plainUntil: isCount(plain) ? plain : 0,
      lacks: typeof lacks === "string" ? lacks : null,
      has: typeof has === "string" && chunks !== null && chunks.count > 0 ? { hash: has, chunks } : null,
    };
    this.#onResume();
  }

  /** Ends the transfer with an error: what the receiver has said cannot be followed, or the file is gone. */
  fail(error: MirrorError): void {
    this.#failure ??= error;
    this.stop();
  }

  /** Resolves when the receiver has asked to go on elsewhere, or what it has asked for cannot be done. */
  resumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onResume = resolve;
      if (this.#resume !== null || this.#failure !== null) resolve();
    });
  }

  /**
   * Sends all pieces once.
   *
   * @returns `null` when the receiver has refused meanwhile.
   * @throws {MirrorError} `changed_while_reading`, `link_closed`, or what it was ended with.
   */
  async pass(): Promise<Passed | null> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      const resume = this.#resume;
      this.#resume = null;
      this.#turn = resume?.turn ?? this.#turn;
      if (resume !== null) this.#takeBases(resume);
      // What an interrupted pass had in its hands is not given back: each one begins with its own.
      this.#buffers = this.#free.length;
      this.#passing = true;
      this.#isFirst = true;
      try {
        return await this.#passFrom(resume);
      } catch (error) {
        if (error !== STOPPED) throw error;
        if (this.#failure !== null) throw this.#failure;
        if (this.#stopped) return null;
      } finally {
        this.#passing = false;
      }
    }
  }

  #takeBases({ lacks, has }: Resume): void {
    if (lacks !== null) {
      this.#bases = this.#bases.filter(({ hash }) => hash !== lacks);
      this.#parts.similar.exclude(lacks);
    }
    if (has === null) return;
    this.#cutting = has.chunks.cutting;
    // What is cut otherwise has no chunk in common with it.
    this.#bases = [
      has,
      ...this.#bases.filter(({ chunks }) => chunks.cutting.averageBits === this.#cutting!.averageBits),
    ];
  }

  async #passFrom(resume: Resume | null): Promise<Passed> {
    const { stat, observed } = this.#parts;
    if (this.#cutting === null) {
      const probed = await this.#parts.similar.probe(this.#parts.file);
      this.#cutting = probed.cutting;
      this.#bases.push(...probed.bases);
    }
    const bases = this.#bases, cutting = this.#cutting;
    const makeDiffer = () =>
      new Differ(cutting, stat.sizeBytes, bases.map((base) => base.chunks), (mark) => {
        const more = this.#parts.similar.find(mark, cutting.averageBits);
        if (more === null || bases.includes(more)) return null;
        bases.push(more);
        return more.chunks;
      });
    let differ = makeDiffer();
    // What the differ has told of; what is not sent again is cut all the same, so that the list of its chunks is whole.
    let told = 0;
    const passOver = (runs: Iterable<Run>) => {
      for (const { bytes } of runs) told += bytes.length;
    };
    const { offset, readBytes, hash } = await this.#startOf(resume, (bytes) => passOver(differ.push(bytes)));
    let at = offset;
    // It has read on after the last place that fits: what it was told goes on somewhere else.
    const whole = readBytes === offset;
    if (!whole) {
      differ = makeDiffer();
      told = offset;
    }
    if (resume !== null && resume.plainUntil > at) {
      const end = Math.min(resume.plainUntil, stat.sizeBytes);
      for await (const bytes of this.#read(at, end, this.#pieceBytes)) {
        hash.update(bytes);
        passOver(differ.push(bytes));
        const piece = new ScriptWriter(at, await this.#buffer());
        piece.literal(bytes);
        at += bytes.length;
        await this.#send(piece, hash, null);
      }
      if (at < end) throw changed(observed);
    }
    const from = at;
    const pieces = new Pieces(from, await this.#buffer(), this.#pieceBytes);
    const flush = async () => {
      if (pieces.open.length === 0) return;
      await this.#send(pieces.open, hash, bases[pieces.base]?.hash ?? null);
      pieces.next(await this.#buffer());
    };
    const take = async (runs: Iterable<Run>) => {
      for (const { base, from: inBase, bytes } of runs) {
        const before = Math.min(bytes.length, Math.max(0, from - told));
        told += bytes.length;
        for (let done = before; done < bytes.length;) {
          if (pieces.mustGoBefore(base)) await flush();
          const part = bytes.subarray(done, done + pieces.roomFor(base));
          hash.update(part);
          pieces.add(base, inBase + done, part);
          done += part.length;
          if (pieces.isFull) await flush();
        }
      }
    };
    for await (const bytes of this.#read(at, stat.sizeBytes)) {
      at += bytes.length;
      await take(differ.push(bytes));
    }
    if (at < stat.sizeBytes) throw changed(observed);
    await take(differ.finish());
    await flush();
    return { hash: hash.digest("hex"), chunks: whole ? differ.chunks() : null };
  }

  /**
   * The last place the receiver has named up to which its bytes are those of this file.
   *
   * @param onRead Given what is read of the file from its start on: `readBytes` in all.
   */
  async #startOf(
    resume: Resume | null,
    onRead: (bytes: Uint8Array) => void,
  ): Promise<{ readonly offset: number; readonly hash: Hash; readonly readBytes: number }> {
    let start = { offset: 0, hash: createHash("sha256") };
    const hash = createHash("sha256");
    let at = 0;
    for (const mark of resume?.marks ?? []) {
      if (mark.offset > this.#parts.stat.sizeBytes) break;
      for await (const bytes of this.#read(at, mark.offset)) {
        hash.update(bytes);
        onRead(bytes);
        at += bytes.length;
      }
      if (at < mark.offset || hash.copy().digest("hex") !== mark.digest) break;
      start = { offset: at, hash: hash.copy() };
    }
    return { ...start, readBytes: at };
  }

  /** The file's bytes; gives others their turn now and then. The buffer is used again for the next part. */
  async *#read(from: number, to: number, partBytes = READ_BYTES): AsyncGenerator<Uint8Array> {
    const { file } = this.#parts;
    const buffer = new Uint8Array(partBytes);
    for (let at = from; at < to;) {
      const part = buffer.subarray(0, Math.min(partBytes, to - at));
      const count = await file.readAt(part, at);
      if (count === 0) return;
      at += count;
      yield part.subarray(0, count);
      this.#parts.link.working();
      if (this.#resume !== null || this.#stopped) throw STOPPED;
      if (this.#slices.over) await this.#slices.rest();
    }
  }

  /** A buffer for a piece; waits for one while many are on their way. */
  async #buffer(): Promise<Uint8Array> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#buffers < MAX_BUFFERS) {
      this.#buffers++;
      return new Uint8Array(PIECE_BYTES);
    }
    return await new Promise((resolve) => this.#waitingForBuffer.push(resolve));
  }

  #giveBack(buffer: Uint8Array): void {
    const waiting = this.#waitingForBuffer.shift();
    if (waiting === undefined) this.#free.push(buffer);
    else waiting(buffer);
  }

  /** @param base SHA-256 of what the piece copies from; `null` when it copies nothing. */
  async #send(piece: ScriptWriter, hash: Hash, base: string | null): Promise<void> {
    const { link, id, observed, stat, onProgress } = this.#parts;
    const script = base !== null;
    const raw = script ? piece.finish() : piece.literals();
    const packed = this.#compression.pack(raw);
    const content = packed ?? raw;
    const coding = `${script ? "script" : ""}${script && packed !== null ? "+" : ""}${
      packed !== null ? "gzip" : ""
    }`;
    const header = {
      action: "piece",
      id,
      path: observed.path,
      size: stat.sizeBytes,
      offset: piece.offset,
      length: piece.length,
      digest: hash.copy().digest("hex"),
      ...(this.#turn > 0 ? { turn: this.#turn } : {}),
      ...(coding === "" ? {} : { coding }),
      ...(packed === null ? {} : { raw: raw.length }),
      ...(script ? { base } : {}),
      // Without a base the receiver may know better what the file could be built on.
      ...(this.#isFirst
        ? this.#bases.length === 0 ? { bare: true } : { bits: this.#cutting?.averageBits }
        : {}),
    };
    this.#isFirst = false;
    if (await link.credit(content.length, true)) this.#slices.waited();
    if (this.#resume !== null || this.#stopped) {
      link.returnCredit(content.length);
      throw STOPPED;
    }
    // A link that breaks tells everybody; here it only matters that the buffer is free again.
    const sent = () => {
      this.#giveBack(piece.room);
      if (packed !== null) free(packed);
    };
    const doneBytes = piece.offset + piece.length;
    // Under a limit pieces wait long for their turn: done is what was handed over.
    link.notify("bulk", header, content).then(() => {
      sent();
      onProgress(doneBytes);
    }, sent);
    this.wireBytes += frameBytes(header, content.length);
    this.#compression.sent(content.length);
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function gone({ path }: Observation): MirrorError {
  return new MirrorError("changed_while_reading", `${path} was removed while it was sent`);
}

function changed({ path }: Observation): MirrorError {
  return new MirrorError("changed_while_reading", `${path} became shorter while it was sent`);
}
