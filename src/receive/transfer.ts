import { createHash, type Hash } from "node:crypto";
import { readScript } from "../chunks/script.ts";
import { freeWhole } from "../domain/free.ts";
import type { Operation, RawHeader } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { type Clock, FileError, type FileTree, type ReadHandle } from "../domain/ports.ts";
import {
  checkNameOn,
  nameOf,
  parentOf,
  parseRelativePath,
  type RelativePath,
} from "../domain/relative_path.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";
import type { TransferProgress } from "../domain/status.ts";
import { FRAME_COST_BYTES } from "../link/credit.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { folderInTheWay } from "./apply.ts";
import { Bases, MIN_REMNANT_BYTES } from "./bases.ts";
import { checkHash } from "./check_hash.ts";
import { type Outcome, toOutcome } from "./committer.ts";
import type { Partials } from "./partials.ts";
import { parsePiece, type Piece, unpackPiece } from "./piece.ts";
import type { Room } from "./quota.ts";
import type { Staged, Staging } from "./staging.ts";

/**
 * Written bytes after which they are flushed behind the transfer's back, so that the last flush finds little to do. Small files that are
 * flushed meanwhile wait for these to be on the disk.
 */
const FLUSH_EVERY_BYTES = 16 * 1024 * 1024;
/** Checked bytes after which their number is written down, so that a crash costs no more than these and what is on its way. */
const NOTE_EVERY_BYTES = 1024 * 1024;
/** A beginning shorter than this is not worth keeping. */
const MIN_KEPT_BYTES = 1024 * 1024;
/** Bytes of the base that are copied in one go. */
const COPY_BYTES = 256 * 1024;
/**
 * The share of a beginning that must have travelled for nothing for it to be read and described to a sender that knows of something
 * else to build on: the description is up to a fiftieth as long as what it describes.
 */
const WORTH_DESCRIBING = 1 / 128;
/** Room that has to be left on the disk for a file to be written beside what was kept of another version. */
const SPARE_BYTES = 64 * 1024 * 1024;
/** Places at which a beginning is offered to be continued: a sender whose file has changed takes the last one that still fits. */
const MAX_MARKS = 32;
const MIN_MARK_BYTES = 4 * 1024 * 1024;
/** Times that one place may turn out wrong before the transfer is given up. */
const MAX_REPAIRS = 4;
/** Times that a sender may build on what is not here before that: it is told each time. */
const MAX_LACKS = 150;

/** Tells the sender where to go on: the offsets with the SHA-256 of everything before each, the last one first. */
export interface Resume {
  readonly turn: number;
  readonly marks: readonly (readonly [offset: number, digest: string])[];
  /** Up to this offset the sender must not build on a base. */
  readonly plainUntil: number;
  /** A base that is not here. */
  readonly lacks?: string;
  /** What is here that the file may be like: its SHA-256 and its chunk list. */
  readonly has?: { readonly hash: string; readonly chunks: Uint8Array };
}

export interface TransferParts {
  readonly header: RawHeader;
  readonly peer: { readonly number: number; readonly name: string };
  readonly tree: FileTree;
  readonly store: Store;
  readonly staging: Staging;
  readonly partials: Partials;
  readonly clock: Clock;
  /** Throws when the disk has no room for so many bytes more. */
  readonly checkRoom: (bytes: number) => Promise<void>;
  /** The room that the file takes of the quota. */
  readonly room: (path: RelativePath) => Room;
  /** The copy that was made of the file when it was found edited by hand, if there is one. */
  readonly copyOf: (path: RelativePath) => string | null;
  /** Sends a {@linkcode Resume} to the sender. */
  readonly resume: (resume: Resume) => void;
  /** Told once when something goes wrong while pieces come. */
  readonly onFailure: (failure: Outcome & { readonly status: "error" }) => void;
}

/**
 * A large file that comes in pieces, in order, into the staging folder. Every piece brings the SHA-256 of the file up to its end, so
 * what is wrong is found at once, by the same pass that hashes the whole file, and is asked for again from there. What came before
 * a link was cut is kept, and offered to the sender when the file comes again.
 */
export class Transfer {
  readonly #parts: TransferParts;
  readonly #startedMs: number;
  #staged: Staged | null = null;
  /** What is staged is the beginning of another path, until the sender says that it fits. */
  #borrowed = false;
  #hash: Hash = createHash("sha256");
  /** Bytes from the start that are written and checked. */
  #done = 0;
  /** Bytes for which the disk was found to have room. */
  #roomFor: number;
  #noted = 0;
  /** How many of them have travelled. */
  #sent = 0;
  #unflushed = 0;
  #wireBytes = 0;
  #begun = false;
  #turn = 0;
  /** After a resume was sent: the places at which the next piece may begin, with the hash of what is before. */
  #marks: Map<number, Hash> | null = null;
  #repairs = { offset: -1, count: 0 };
  #lacks = 0;
  /** The beginning of another version, in staging, that this file is built on; its bytes, if it was kept for this path. */
  #beside: { readonly path: string; readonly bytes: number } | null = null;
  #bases: Bases | null = null;
  /** Used again for each stretch that is copied: a script can have thousands of them. */
  #copyBuffer: Uint8Array | null = null;
  /** `null` before its path was checked. */
  #room: Room | null = null;
  /** The pieces, one after the other. Never rejects: the first failure is kept. */
  #working: Promise<void> = Promise.resolve();
  #failure: (Outcome & { status: "error" }) | null = null;
  /** All pieces were sent, or it is being given up. */
  #ending = false;

  constructor(parts: TransferParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.now();
    this.#roomFor = this.sizeBytes;
  }

  /** The size that the first piece has announced; a hint, for progress and for the room on the disk. */
  get sizeBytes(): number {
    const size = this.#parts.header["size"];
    return typeof size === "number" && Number.isSafeInteger(size) && size >= 0 ? size : 0;
  }

  /** Why it is refused; `null` while nothing is wrong. */
  get failure(): (Outcome & { status: "error" }) | null {
    return this.#failure;
  }

  get wireBytes(): number {
    return this.#wireBytes;
  }

  get #path(): RelativePath {
    return this.#parts.header["path"] as RelativePath;
  }

  /** Checks what the first piece says, so that a file that will be refused does not travel first. */
  async checkFirst(system: "windows" | "unix"): Promise<void> {
    const path = this.#parts.header["path"];
    if (typeof path !== "string") {
      throw new MirrorError("bad_header", 'the field "path" is missing or not a string');
    }
    const parsed = parseRelativePath(path);
    checkNameOn(system, parsed);
    this.#room = this.#parts.room(parsed);
    this.#room.ensure(this.sizeBytes);
    if (await isFullFolder(this.#parts.tree, parsed)) throw folderInTheWay(parsed);
  }

  fail(error: unknown): void {
    if (this.#failure !== null) return;
    const failure = toOutcome(error);
    this.#failure = failure;
    // Whoever has ended it, or waits for its end, learns of it there.
    if (!this.#ending) this.#parts.onFailure(failure);
  }

  /** Queues a piece; `taken` is called when it was worked in, or when it is not wanted. */
  take(header: RawHeader, content: Uint8Array, taken: () => void): void {
    this.#wireBytes += content.length + FRAME_COST_BYTES;
    this.#working = this.#working.then(async () => {
      try {
        if (this.#failure === null) await this.#workIn(parsePiece(header, content.length), content);
      } catch (error) {
        this.fail(error);
      } finally {
        taken();
      }
    });
  }

  async #workIn(piece: Piece, content: Uint8Array): Promise<void> {
    if (!this.#begun) {
      this.#begun = true;
      if (await this.#offerPartial()) return;
      if (piece.bare && await this.#offerRemnant(this.#hash.copy())) return;
    }
    if (piece.turn > this.#turn) {
      throw new MirrorError("bad_content", "a piece is of a turn that was not asked for");
    }
    if (piece.turn < this.#turn) return;
    if (this.#marks !== null && await this.#goOn(piece)) return;
    if (piece.offset !== this.#done) throw new MirrorError("bad_content", "a piece is missing or came twice");
    const end = piece.offset + piece.length;
    this.#room?.ensure(end); // it may become larger than it was said to
    if (end > this.#roomFor) {
      // More than was announced.
      await this.#parts.checkRoom(end - this.#roomFor);
      this.#roomFor = end;
    }
    this.#staged ??= await this.#create();
    const before = this.#hash.copy();
    const bytes = unpackPiece(piece, content);
    let copied = false;
    if (piece.base === null) {
      if (bytes.length !== piece.length) throw new MirrorError("bad_content", "a piece has another length");
      await this.#write(bytes);
      this.#sent += bytes.length;
    } else {
      const base = await this.#basesHere.open(piece.base);
      if (base === null) return await this.#lack(piece.base, before);
      for (const step of readScript(bytes, { ...piece, baseBytes: base.opened.sizeBytes })) {
        if (step.kind === "literal") {
          await this.#write(step.bytes);
          this.#sent += step.bytes.length;
        } else {
          copied = true;
          if (!await this.#copy(base, step.from, step.length)) return await this.#lack(piece.base, before);
        }
      }
    }
    if (bytes !== content) freeWhole(bytes);
    const wrong = piece.digest !== null && this.#hash.copy().digest("hex") !== piece.digest;
    if (wrong) return this.#repair(piece, before, copied);
    this.#done += piece.length;
    // As long as what was kept before is more, that is what is to be gone on with.
    if (this.#done < (this.#beside?.bytes ?? 0)) return;
    if (this.#done - this.#noted >= NOTE_EVERY_BYTES) this.#note(this.#staged, this.#done);
  }

  async #create(): Promise<Staged> {
    const staged = await this.#parts.staging.create();
    this.#parts.partials.hold(staged.path);
    return staged;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    const { handle } = this.#staged!;
    const writing = handle.write(bytes);
    this.#hash.update(bytes);
    await writing;
    this.#unflushed += bytes.length;
    if (this.#unflushed < FLUSH_EVERY_BYTES) return;
    this.#unflushed = 0;
    // The final flush of the commit is the one that counts, and reports a failure.
    handle.flush().catch(() => {});
  }

  /** @returns Whether the base had all of it. */
  async #copy(base: ReadHandle, from: number, length: number): Promise<boolean> {
    const buffer = this.#copyBuffer ??= new Uint8Array(COPY_BYTES);
    const slices = new Slices(this.#parts.clock);
    for (let done = 0; done < length;) {
      if (this.#failure !== null) return true;
      const part = buffer.subarray(0, Math.min(buffer.length, length - done));
      if (await base.readAt(part, from + done) < part.length) return false;
      await this.#write(part);
      done += part.length;
      if (slices.over) await slices.rest();
    }
    return true;
  }

  get #basesHere(): Bases {
    return this.#bases ??= new Bases(this.#parts, this.#parts.peer.number, this.#path);
  }

  /** A base is not here: the sender goes on without it, and is told what is here instead. */
  async #lack(base: string, before: Hash): Promise<void> {
    if (++this.#lacks > MAX_LACKS) {
      throw new MirrorError("bad_content", `the pieces build on ${MAX_LACKS} versions that are not here`);
    }
    const has = await this.#describeRemnant();
    this.#askAgain(before, 0, { lacks: base, ...(has === null ? {} : { has }) });
  }

  /** Tells a sender that knows nothing of what is here what is at the file's place. */
  async #offerRemnant(before: Hash): Promise<boolean> {
    const has = await this.#describeRemnant();
    if (has !== null) this.#askAgain(before, 0, { has });
    return has !== null;
  }

  #describeRemnant(): Promise<{ hash: string; chunks: Uint8Array } | null> {
    return this.#basesHere.describeRemnant(this.#parts.copyOf(this.#path), () => this.#failure !== null);
  }

  /** A piece is not what it should be: it is asked for again, without the base if that could be the reason. */
  #repair(piece: Piece, before: Hash, copied: boolean): void {
    const { store, clock } = this.#parts;
    if (this.#repairs.offset !== piece.offset) this.#repairs = { offset: piece.offset, count: 0 };
    if (++this.#repairs.count > MAX_REPAIRS) {
      throw new MirrorError(
        "hash_mismatch",
        `the bytes from ${piece.offset} on arrived damaged again and again`,
      );
    }
    const end = piece.offset + piece.length;
    const why = copied
      ? `the bytes ${piece.offset} to ${end} could not be built from the version here: they are asked for whole`
      : `the bytes ${piece.offset} to ${end} arrived damaged: they are asked for again`;
    store.log.add(localNote(clock.now(), "repair", this.#path, "repair", why));
    this.#askAgain(before, copied ? end : 0);
  }

  #askAgain(before: Hash, plainUntil: number, more: Pick<Resume, "lacks" | "has"> = {}): void {
    this.#turn++;
    this.#marks = new Map([[this.#done, before]]);
    this.#sendResume(plainUntil, more);
  }

  #sendResume(plainUntil: number, more: Pick<Resume, "lacks" | "has"> = {}): void {
    const marks = [...this.#marks!].map(([offset, hash]) => [offset, hash.copy().digest("hex")] as const);
    this.#parts.resume({ turn: this.#turn, marks: marks.reverse(), plainUntil, ...more });
  }

  /**
   * The sender goes on with a piece at one of the places that it was told, or from the start.
   *
   * @returns Whether it was asked to go on once more, as it knows of nothing to build on and there is something.
   */
  async #goOn(piece: Piece): Promise<boolean> {
    const checked = Math.max(0, ...this.#marks!.keys());
    const lost = checked - piece.offset;
    // Another path's beginning of which nothing fits was only a guess.
    const isRelated = !this.#borrowed || piece.offset > 0;
    const isWorth = piece.bare || isRelated && Math.min(lost, this.#sent) >= checked * WORTH_DESCRIBING;
    if (lost >= MIN_REMNANT_BYTES && isWorth && !this.#basesHere.isDescribed) {
      return await this.#goOnBeside(piece, checked);
    }
    await this.#goOnAt(piece.offset);
    return piece.bare && await this.#offerRemnant(this.#hash.copy());
  }

  /**
   * What was kept is the beginning of another version, and more than its first part may be of use: the file goes on beside it, and can
   * be built on it. What was kept stays until the file has come as far.
   */
  async #goOnBeside({ offset, cutting }: Piece, checked: number): Promise<boolean> {
    const { tree, clock } = this.#parts;
    const before = this.#staged;
    const mark = offset === 0 ? createHash("sha256") : this.#marks!.get(offset);
    const freeBytes = await tree.freeBytes() ?? Infinity;
    if (before === null || mark === undefined || freeBytes < this.sizeBytes + SPARE_BYTES) {
      await this.#goOnAt(offset);
      return false;
    }
    const file = await tree.openRead(before.path);
    const has = await this.#basesHere.describeBeginning(file, checked, cutting, () => this.#failure !== null);
    if (has === null) {
      await this.#goOnAt(offset);
      return false;
    }
    const staged = await this.#create();
    try {
      const hash = createHash("sha256");
      for await (const part of readParts(file, new Slices(clock), { endBytes: offset })) {
        hash.update(part);
        await staged.handle.write(part);
      }
      if (hash.copy().digest("hex") !== mark.copy().digest("hex")) {
        throw new MirrorError("bad_content", "what was kept of the file has been changed");
      }
      this.#hash = hash;
    } catch (error) {
      staged.handle.close();
      await this.#remove(staged.path);
      await this.#parts.partials.release(staged.path);
      throw error;
    }
    before.handle.close();
    this.#beside = { path: before.path, bytes: this.#borrowed ? 0 : checked };
    this.#staged = staged;
    this.#borrowed = false;
    this.#marks = null;
    this.#noted = 0;
    this.#done = offset;
    this.#sent = Math.min(this.#sent, offset);
    this.#askAgain(this.#hash.copy(), 0, { has });
    return true;
  }

  /** The sender goes on at one of the places that it was told, or from the start. */
  async #goOnAt(offset: number): Promise<void> {
    const hash = offset === 0 ? createHash("sha256") : this.#marks!.get(offset);
    if (hash === undefined) throw new MirrorError("bad_content", "a piece begins where it was not asked to");
    this.#marks = null;
    this.#hash = hash;
    this.#done = offset;
    this.#noted = Math.min(this.#noted, offset);
    this.#sent = Math.min(this.#sent, offset);
    if (this.#borrowed) await this.#adopt(offset);
    this.#staged?.handle.cutTo(offset);
  }

  /** The beginning of another path is this file's from now on, if any of it fits; else it stays what it was. */
  async #adopt(offset: number): Promise<void> {
    this.#borrowed = false;
    const staged = this.#staged!;
    if (offset > 0) return this.#note(staged, offset);
    this.#staged = null;
    staged.handle.close();
    await this.#parts.partials.release(staged.path);
    // It was taken for a part of this file when the room was looked at.
    await this.#parts.checkRoom(this.sizeBytes);
  }

  /** If a beginning of this file is here, reads it again and tells the sender where it could go on. */
  async #offerPartial(): Promise<boolean> {
    const { peer, tree, staging, partials, clock } = this.#parts;
    const partial = await partials.take(peer.number, this.#path, this.sizeBytes);
    if (partial === null) return false;
    const step = Math.max(MIN_MARK_BYTES, Math.ceil(partial.verifiedBytes / MAX_MARKS));
    const marks = new Map<number, Hash>();
    try {
      const file = await tree.openRead(partial.staged);
      try {
        const hash = createHash("sha256");
        const buffer = new Uint8Array(COPY_BYTES);
        const slices = new Slices(clock);
        for (let at = 0, next = step; at < partial.verifiedBytes;) {
          const end = Math.min(at + buffer.length, next, partial.verifiedBytes);
          const part = buffer.subarray(0, end - at);
          if (await file.readAt(part, at) < part.length) break;
          hash.update(part);
          at = end;
          if (at === next || at === partial.verifiedBytes) marks.set(at, hash.copy());
          if (at === next) next += step;
          if (slices.over) await slices.rest();
        }
      } finally {
        file.close();
      }
      // Shorter than was noted (a power cut): no place of it is checked.
      if (marks.size > 0) this.#staged = { path: partial.staged, handle: await tree.reopen(partial.staged) };
    } catch (error) {
      // It is not there any more, or cannot be read.
      if (!(error instanceof FileError)) throw error;
    }
    if (this.#staged === null) {
      await partials.release(partial.staged);
      await partials.drop(partial);
      return false;
    }
    await staging.ensure();
    this.#borrowed = partial.path !== this.#path;
    this.#marks = marks;
    this.#noted = partial.verifiedBytes;
    this.#sent = partial.sentBytes;
    this.#turn = 1;
    this.#sendResume(0);
    return true;
  }

  /** Writes down how much of the file is here, checked, and where. */
  #note(staged: Staged, verifiedBytes: number): void {
    const { partials, peer, clock } = this.#parts;
    this.#noted = verifiedBytes;
    partials.note({
      peer: peer.number,
      path: this.#path,
      staged: staged.path,
      sizeBytes: this.sizeBytes,
      verifiedBytes,
      sentBytes: Math.min(this.#sent, verifiedBytes),
      updatedMs: clock.now(),
    });
  }

  /**
   * All pieces were sent: waits until they are worked in, and checks the whole against the operation.
   *
   * @returns `null` when the sender has been told to go on somewhere: it sends the operation again after that.
   * @throws {MirrorError} what went wrong on the way, or `bad_content` or `hash_mismatch`.
   */
  async finish(operation: Operation): Promise<Staged | null> {
    this.#ending = true;
    await this.#working;
    if (this.#failure !== null) throw new MirrorError(this.#failure.code, this.#failure.message);
    this.#ending = false;
    if (operation.turn > this.#turn) {
      throw new MirrorError("bad_content", "the operation is of a turn that was not asked for");
    }
    if (operation.turn < this.#turn) return null;
    // All of it was here already: the sender goes on at its end, without a piece.
    if (this.#marks?.has(operation.sizeBytes)) await this.#goOnAt(operation.sizeBytes);
    if (this.#marks !== null) return null;
    if (this.#done !== operation.sizeBytes || this.#staged === null) {
      throw new MirrorError(
        "bad_content",
        `${this.#done} bytes came in pieces, the header says ${operation.sizeBytes}`,
      );
    }
    checkHash(operation, this.#hash.digest("hex"));
    await this.#closeBases();
    return this.#staged;
  }

  /**
   * The operation that the whole file belonged to was answered.
   *
   * @param isOver Nothing is left to be continued: it was committed or refused. Else its link was lost before the commit.
   */
  async settled(isOver: boolean): Promise<void> {
    this.#room?.release(); // it is recorded now, or will not be
    const staged = this.#staged;
    if (staged === null) return;
    const { store, partials } = this.#parts;
    await partials.ending((async () => {
      try {
        if (isOver) {
          store.partials.removeStaged(staged.path);
          if (this.#beside !== null && this.#beside.bytes > 0) await partials.forget(this.#beside.path);
        } else await this.#keep(staged, this.#done);
      } finally {
        await partials.release(staged.path);
      }
    })());
  }

  /** The sender has given it up, mostly as the file has changed or was moved: what has come is worked in, and kept as by a cut. */
  abandoned(): Promise<void> {
    this.#ending = true;
    return this.#parts.partials.ending(this.#working.then(() => this.suspend()));
  }

  /** The link is gone: what was checked stays, to be continued. */
  suspend(): Promise<void> {
    const { partials } = this.#parts;
    return partials.ending(this.#endWith("the transfer was interrupted", async (staged) => {
      // What had been offered and was not gone on with is as good as before.
      const keepable = this.#marks === null ? this.#done : Math.max(this.#noted, ...this.#marks.keys());
      await this.#keep(staged, keepable);
    }));
  }

  async #keep(staged: Staged, verifiedBytes: number): Promise<void> {
    const isMore = verifiedBytes >= (this.#beside?.bytes ?? 0);
    if (isMore && verifiedBytes >= MIN_KEPT_BYTES) {
      try {
        return this.#note(staged, verifiedBytes);
      } catch (error) {
        // The peer was removed: nobody goes on with it.
        if (!(error instanceof MirrorError && error.code === "not_trusted")) throw error;
      }
    }
    await this.#remove(staged.path);
  }

  /** Gives up: what was staged goes. */
  discard(): Promise<void> {
    return this.#parts.partials.ending(
      this.#endWith("the transfer was given up", ({ path }) => this.#remove(path)),
    );
  }

  /** Ends, and does something with what was staged; what is the beginning of another path stays that. */
  async #endWith(why: string, finish: (staged: Staged) => Promise<void>): Promise<void> {
    const staged = await this.#end(why);
    if (staged === null) return;
    try {
      if (!this.#borrowed) await finish(staged);
    } finally {
      await this.#parts.partials.release(staged.path);
    }
  }

  /** Takes no more pieces, waits for those that are being worked in, and closes everything; gives what was staged. */
  async #end(why: string): Promise<Staged | null> {
    this.#ending = true;
    this.fail(new MirrorError("link_closed", why));
    await this.#working;
    await this.#closeBases();
    this.#room?.release();
    const staged = this.#staged;
    this.#staged = null;
    staged?.handle.close();
    return staged;
  }

  async #remove(path: string): Promise<void> {
    this.#parts.store.partials.removeStaged(path);
    try {
      if (await this.#parts.tree.lstat(path) !== null) await this.#parts.tree.unlink(path);
    } catch (error) {
      // Without its row it is swept at the next start.
      if (!(error instanceof FileError)) throw error;
    }
  }

  async #closeBases(): Promise<void> {
    if (this.#bases === null) return;
    this.#bases.close();
    this.#bases = null;
    if (this.#beside !== null) await this.#parts.partials.release(this.#beside.path);
  }

  status(): TransferProgress {
    return {
      direction: "receiving",
      peer: this.#parts.peer.name,
      path: typeof this.#parts.header["path"] === "string" ? this.#parts.header["path"] : "?",
      doneBytes: this.#done,
      sizeBytes: this.sizeBytes,
      startedMs: this.#startedMs,
    };
  }
}

/**
 * Whether a folder of just this name is there that is not empty. What cannot be looked at is left to the commit; so is another spelling of
 * the name on a disk that takes both for one.
 */
async function isFullFolder(tree: FileTree, path: RelativePath): Promise<boolean> {
  try {
    if ((await tree.lstat(path))?.kind !== "folder" || (await tree.list(path)).length === 0) return false;
    return (await tree.list(parentOf(path) ?? "")).some(({ name }) => name === nameOf(path));
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  }
}
