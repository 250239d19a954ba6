import { createHash, type Hash } from "node:crypto";
import { ChunkList } from "../chunks/chunk_list.ts";
import { Differ } from "../chunks/differ.ts";
import { type Cutting, cuttingFor } from "../chunks/gear.ts";
import { ScriptWriter } from "../chunks/script.ts";
import type { RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { FileStat, Observation } from "../domain/observation.ts";
import type { Clock, ReadHandle } from "../domain/ports.ts";
import { Slices } from "../domain/slices.ts";
import type { Link } from "../link/link.ts";
import { frameBytes } from "../wire/frame.ts";
import { Compression } from "./compression.ts";

/** Bytes that are given in one piece, at most; a chunk may make it a little more. */
const PIECE_BYTES = 256 * 1024;
/** Bytes given in a piece that copies too: few, so that the receiver can begin early. */
const SCRIPT_BYTES = 64 * 1024;
/** Bytes of the new file that one piece makes by copying, at most: what has to be made again when the base is not what it was. */
const COPIED_BYTES = 16 * 1024 * 1024;
/** Steps of one script, at most. */
const SCRIPT_STEPS = 4096;
const READ_BYTES = 256 * 1024;
/** Pieces whose buffers are in use at once. */
const MAX_BUFFERS = 16;

/** Where the receiver wants the transfer to go on. */
interface Resume {
  readonly turn: number;
  /** Offsets with the SHA-256 of what is before each, the first one first. */
  readonly marks: readonly { readonly offset: number; readonly digest: string }[];
  readonly plainUntil: number;
}

/** The version that sender and receiver both remember. */
export interface Base {
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
  readonly base: Base | null;
  readonly clock: Clock;
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
  readonly #slices: Slices;
  /** Bytes that are given in one piece on this link, at most. */
  readonly #pieceBytes: number;
  readonly #cutting: Cutting;
  readonly #free: Uint8Array[] = [];
  #buffers = 0;
  readonly #waitingForBuffer: ((buffer: Uint8Array) => void)[] = [];
  wireBytes = 0;

  constructor(parts: OutgoingParts) {
    this.#parts = parts;
    this.#compression = new Compression(() => parts.clock.monotonic());
    this.#slices = new Slices(parts.clock);
    this.#pieceBytes = Math.min(PIECE_BYTES, parts.link.pieceBytes);
    this.#cutting = parts.base?.chunks.cutting ?? cuttingFor(parts.stat.sizeBytes);
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

  /** The receiver says where to go on. What cannot be understood is not followed: the receiver then answers with an error. */
  resume(header: RawHeader): void {
    const { turn, marks, plain } = header;
    if (typeof turn !== "number" || turn <= this.#turn || !Array.isArray(marks)) return;
    this.#resume = {
      turn,
      marks: marks.slice(0, 100).flatMap((mark: unknown) => {
        if (!Array.isArray(mark)) return [];
        const [offset, digest] = mark;
        return typeof offset === "number" && typeof digest === "string" ? [{ offset, digest }] : [];
      }).sort((a, b) => a.offset - b.offset),
      plainUntil: typeof plain === "number" ? plain : 0,
    };
    this.#onResume();
  }

  /** Resolves when the receiver has asked to go on elsewhere. */
  resumed(): Promise<void> {
    return new Promise((resolve) => {
      this.#onResume = resolve;
      if (this.#resume !== null) resolve();
    });
  }

  /**
   * Sends all pieces once.
   *
   * @returns `null` when the receiver has refused meanwhile.
   * @throws {MirrorError} `changed_while_reading` or `link_closed`.
   */
  async pass(): Promise<Passed | null> {
    for (;;) {
      const resume = this.#resume;
      this.#resume = null;
      this.#turn = resume?.turn ?? this.#turn;
      // What an interrupted pass had in its hands is not given back: each one begins with its own.
      this.#buffers = this.#free.length;
      try {
        return await this.#passFrom(resume);
      } catch (error) {
        if (error !== STOPPED) throw error;
        if (this.#stopped) return null;
      }
    }
  }

  async #passFrom(resume: Resume | null): Promise<Passed> {
    const { stat, base, observed } = this.#parts;
    const start = await this.#startOf(resume);
    const hash = start.hash;
    let at = start.offset;
    if (resume !== null && resume.plainUntil > at) {
      const end = Math.min(resume.plainUntil, stat.sizeBytes);
      for await (const bytes of this.#read(at, end, this.#pieceBytes)) {
        hash.update(bytes);
        const piece = new ScriptWriter(at, await this.#buffer());
        piece.literal(bytes);
        at += bytes.length;
        await this.#send(piece, hash);
      }
      if (at < end) throw changed(observed);
    }
    let piece = new ScriptWriter(at, await this.#buffer());
    const flush = async () => {
      if (piece.length === 0) return;
      await this.#send(piece, hash);
      piece = new ScriptWriter(piece.offset + piece.length, await this.#buffer());
    };
    const differ = new Differ(this.#cutting, base?.chunks ?? null, {
      copy: async (source, bytes) => {
        // What was collected without copies goes as it is: a script would have to be copied once more.
        if (piece.literalBytes >= SCRIPT_BYTES && !piece.hasCopies) await flush();
        hash.update(bytes);
        piece.copy(source, bytes.length);
        if (piece.length >= COPIED_BYTES || piece.steps >= SCRIPT_STEPS) await flush();
      },
      literal: async (bytes) => {
        for (let taken = 0; taken < bytes.length; taken += this.#pieceBytes) {
          const part = bytes.subarray(taken, taken + this.#pieceBytes);
          hash.update(part);
          piece.literal(part);
          if (
            piece.literalBytes >= Math.min(piece.hasCopies ? SCRIPT_BYTES : PIECE_BYTES, this.#pieceBytes)
          ) {
            await flush();
          }
        }
      },
    });
    for await (const bytes of this.#read(at, stat.sizeBytes)) {
      at += bytes.length;
      await differ.push(bytes);
    }
    if (at < stat.sizeBytes) throw changed(observed);
    const chunks = await differ.finish();
    await flush();
    return { hash: hash.digest("hex"), chunks: start.whole ? chunks : null };
  }

  /** The last place the receiver has named up to which its bytes are those of this file. */
  async #startOf(resume: Resume | null): Promise<{ offset: number; hash: Hash; whole: boolean }> {
    let start = { offset: 0, hash: createHash("sha256"), whole: (resume?.plainUntil ?? 0) === 0 };
    const hash = createHash("sha256");
    let at = 0;
    for (const mark of resume?.marks ?? []) {
      if (mark.offset > this.#parts.stat.sizeBytes) break;
      for await (const bytes of this.#read(at, mark.offset)) {
        hash.update(bytes);
        at += bytes.length;
      }
      if (at < mark.offset || hash.copy().digest("hex") !== mark.digest) break;
      start = { offset: at, hash: hash.copy(), whole: false };
    }
    return start;
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
      return new Uint8Array(PIECE_BYTES + this.#cutting.maxBytes);
    }
    return await new Promise((resolve) => this.#waitingForBuffer.push(resolve));
  }

  #giveBack(buffer: Uint8Array): void {
    const waiting = this.#waitingForBuffer.shift();
    if (waiting === undefined) this.#free.push(buffer);
    else waiting(buffer);
  }

  async #send(piece: ScriptWriter, hash: Hash): Promise<void> {
    const { link, id, observed, stat, base, onProgress } = this.#parts;
    const script = piece.hasCopies;
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
      ...(script ? { base: base!.hash } : {}),
    };
    await link.credit(content.length, true);
    if (this.#resume !== null || this.#stopped) {
      link.returnCredit(content.length);
      throw STOPPED;
    }
    // A link that breaks tells everybody; here it only matters that the buffer is free again.
    const free = () => this.#giveBack(piece.room);
    const doneBytes = piece.offset + piece.length;
    // Under a limit pieces wait long for their turn: done is what was handed over.
    link.notify("bulk", header, content).then(() => {
      free();
      onProgress(doneBytes);
    }, free);
    this.wireBytes += frameBytes(header, content.length);
    this.#compression.sent(content.length);
  }
}

function changed({ path }: Observation): MirrorError {
  return new MirrorError("changed_while_reading", `${path} became shorter while it was sent`);
}
