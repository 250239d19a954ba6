import { createHash, hash as hashOf } from "node:crypto";
import type { EventSink } from "../domain/events.ts";
import {
  bearsContent,
  contentLimit,
  idOf,
  isOperation,
  type Operation,
  parseOperation,
  type RawHeader,
} from "../domain/header.ts";
import { codeOf, type ErrorCode, messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Folding } from "../domain/plan.ts";
import type { Clock, FileTree, Random } from "../domain/ports.ts";
import { checkNameOn, type RelativePath } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { TransferProgress } from "../domain/status.ts";
import { FRAME_COST_BYTES } from "../link/credit.ts";
import type { Link } from "../link/link.ts";
import type { Store } from "../store/store.ts";
import type { StatedPath } from "../store/acked.ts";
import { frameBytes } from "../wire/frame.ts";
import type { FrameReader } from "../wire/frame_reader.ts";
import { checkHash } from "./check_hash.ts";
import { copyContent } from "./copy_content.ts";
import { Committer, type Outcome, toOutcome, type Work } from "./committer.ts";
import { GunzipMember } from "./gunzip_member.ts";
import { inspectSynced } from "./inspect.ts";
import { MAX_PIECE_BYTES } from "./piece.ts";
import { Quota, type Room } from "./quota.ts";
import { recoverCommits } from "./recover.ts";
import type { Replay } from "./replay.ts";
import { Partials, SPARE_BYTES } from "./partials.ts";
import { type Staged, Staging } from "./staging.ts";
import { type Move, Mover } from "./move.ts";
import { Transfer } from "./transfer.ts";
import { Trash, type TrashLimits } from "./trash.ts";
import { answerBuckets, answerTree } from "./tree_answers.ts";

/** Content up to this is held in memory and staged with its group; above, it is staged as it comes. */
const SMALL_BYTES = 256 * 1024;
/** Operations of one link that may wait for their commit before the link is read on. Credit bounds their bytes. */
const MAX_UNANSWERED = 4096;
/** The same for links without flow control, whose small contents are held in memory. */
const MAX_UNANSWERED_PLAIN = 64;
/** Large files that may come in pieces at once on one link; each has a file open. */
const MAX_TRANSFERS = 64;
/** Offers of one link whose content is being looked for at once; each may have files open. */
const MAX_COPIES = 256;
/** Questions of one link about trees that are being answered at once. */
const MAX_QUESTIONS = 4;
/** Refused transfers that are remembered on one link, so that pieces of them which still come are dropped without a word. */
const MAX_REFUSED = 4096;
/** How long a reading of the free space is good. */
const FREE_SPACE_MS = 500;
/** How often what a crash has taken is tried to be brought back when the disk has refused it. */
const REPLAY_MS = 30_000;

/** What belongs to one link on the receiving side. */
interface Intake {
  readonly transfers: Map<string, Transfer>;
  /** Transfers that were refused on the way, until their sender has said that it knows. */
  readonly refused: Set<string>;
  /** Operations that are being committed. */
  readonly unanswered: Set<Promise<void>>;
  /** Those of them that look for their content here. */
  readonly copies: Set<Promise<void>>;
  readonly questions: Set<Promise<void>>;
  dropped: boolean;
}

export interface ReceiverParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly system: "windows" | "unix";
  /** Bytes that each peer may have in `synced/`; `null` without a quota. */
  readonly quotaBytes: number | null;
  /** What the trash may hold of that which a peer deletes or replaces; `null` without one. */
  readonly trash: TrashLimits | null;
  readonly onEvent: EventSink;
  /** Told of a file that is not what a peer's was when it was put in place, although nobody has touched it. */
  readonly onDamage: (peer: number, path: RelativePath) => void;
  /** Told of every operation that was applied, and of every one that was refused when it had come whole. */
  readonly onReceived: (peer: string, operation: Operation, outcome: Outcome) => void;
  /** Told of what was refused before it had come whole. */
  readonly onRefused: (peer: string, path: string | null, code: ErrorCode) => void;
}

/** The receiving side of a home: takes operations off links, stages and verifies their content, has them committed, answers. */
export class Receiver {
  readonly #parts: ReceiverParts;
  readonly #staging: Staging;
  readonly #committer: Committer;
  readonly #mover: Mover;
  readonly #partials: Partials;
  readonly #quota: Quota;
  readonly #trash: Trash | null;
  readonly #intakes = new Map<Link, Intake>();
  /** Copies of files that were found edited by hand, by the path of the file: its next version can be built on them. */
  readonly #copies = new Map<RelativePath, string>();
  /** The large files that come in one frame. */
  readonly #streams = new Set<() => TransferProgress>();
  /** Knows what a crash has taken and could not be brought back for now. */
  readonly #replay: Replay;
  #cancelReplay: () => void = () => {};
  #isClosed = false;
  readonly folding: Folding;
  #room: { bytes: number | null; atMs: number } | null = null;

  private constructor(
    parts: ReceiverParts,
    staging: Staging,
    partials: Partials,
    folding: Folding,
    trash: Trash | null,
    replay: Replay,
  ) {
    this.#parts = parts;
    this.#replay = replay;
    this.#staging = staging;
    this.#partials = partials;
    this.#trash = trash;
    this.folding = folding;
    this.#mover = new Mover(parts);
    this.#committer = new Committer({
      ...parts,
      ...{ staging, folding, trash },
      settle: async (path) => {
        await this.#replay.settle(path);
        await this.#mover.settle(path);
      },
    });
    this.#quota = new Quota(parts.store, parts.quotaBytes);
    this.#replayLater();
  }

  /** Opens the staging folder and brings to an end what a crash interrupted. */
  static async open(parts: ReceiverParts): Promise<Receiver> {
    const staging = new Staging(parts.tree, parts.random);
    await staging.ensure();
    const trash = parts.trash === null ? null : await Trash.open({ ...parts, limits: parts.trash });
    const folding = await staging.probeFolding();
    const replay = await recoverCommits({ ...parts, staging, folding, trash });
    const partials = new Partials(parts);
    await partials.sweep();
    await staging.tidy();
    return new Receiver(parts, staging, partials, folding, trash, replay);
  }

  /** Looks for what was edited or deleted by hand in `synced/`; see {@linkcode inspectSynced}. */
  async inspect(peer: { readonly number: number; readonly name: string }): Promise<void> {
    const { tree, store, clock, onEvent } = this.#parts;
    const pause = () => new Promise<void>((resolve) => clock.after(0, resolve));
    const found = await this.#committer.exclusive(async () => {
      await this.#replay.again();
      return await inspectSynced({
        ...{ tree, store, clock, pause },
        peer: peer.number,
        waits: (path) => this.#replay.waits(path) || this.#mover.isOpen(path),
      });
    });
    for (const { path, copy } of found.edited) {
      this.#copies.set(path, copy);
      onEvent({
        kind: "conflict",
        level: "warning",
        message: `${path} was edited here by hand: kept as ${copy}`,
        path: copy,
        peer: peer.name,
      });
    }
    if (found.vanished.length > 0) {
      onEvent({
        kind: "scan",
        level: "info",
        message: `${found.vanished.length} paths were deleted here by hand: they are fetched again`,
        peer: peer.name,
      });
    }
  }

  /** Runs `work` while nothing is being committed. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#committer.exclusive(work);
  }

  /** The large files that are on their way in. */
  transfers(): TransferProgress[] {
    const inPieces = [...this.#intakes.values()].flatMap(({ transfers }) =>
      [...transfers.values()].map((t) => t.status())
    );
    return [...inPieces, ...[...this.#streams].map((progress) => progress())];
  }

  /** Whether operations or transfers are under way. */
  get busy(): boolean {
    return [...this.#intakes.values()].some((i) => i.unanswered.size > 0 || i.transfers.size > 0);
  }

  /** The peer has said that everything it has is here: no beginning of its files is going to be continued. */
  completed(peer: { readonly number: number }): Promise<void> {
    return this.#freeing(this.#partials.completed(peer.number));
  }

  /** Frees what waits in the staging folder, or is in the trash, and is too old or too much; to be called now and then. */
  async sweep(): Promise<void> {
    await this.#freeing(this.#partials.sweep());
    await this.#trash?.sweep();
  }

  /** Takes a frame of any action; reads its content, or leaves it to be skipped when it is refused. */
  async onFrame(link: Link, header: RawHeader, content: FrameReader): Promise<void> {
    const costBytes = content.contentLeft + FRAME_COST_BYTES;
    if (header["action"] === "piece" && link.has("pieces")) {
      link.owe(costBytes);
      return await this.#takePiece(link, header, content, costBytes);
    }
    if (header["action"] === "abort" && link.has("pieces")) return await this.#abort(link, header);
    if (link.has("tree") && (header["action"] === "tree" || header["action"] === "tree_buckets")) {
      return await this.#answerTree(link, header);
    }
    if (isOperation(header)) link.owe(costBytes);
    try {
      if (isOperation(header) || typeof header["action"] !== "string") {
        await this.#takeOperation(link, header, content, costBytes);
      } else parseOperation(header, link.headerExtensions);
    } catch (error) {
      if (error instanceof MirrorError && error.code === "link_closed") throw error;
      const { code, message } = toOutcome(error);
      link.refuse(idOf(header), code, message);
      if (isOperation(header)) link.grant(costBytes);
      this.#noteRefusal(link, header, code, message);
    }
  }

  /** The link has ended: what it brought and was not applied is dropped. Resolves when nothing of it is under way. */
  async release(link: Link): Promise<void> {
    const intake = this.#intakes.get(link);
    if (intake === undefined) return;
    intake.dropped = true;
    const transfers = [...intake.transfers.values()];
    intake.transfers.clear();
    await Promise.all([...transfers.map((transfer) => transfer.suspend()), ...intake.unanswered]);
    if (transfers.length > 0) await this.sweep();
    this.#intakes.delete(link);
  }

  /** Resolves when everything that the link brought so far was answered. */
  async answered(link: Link): Promise<void> {
    const intake = this.#intakes.get(link);
    while (intake !== undefined && intake.unanswered.size > 0) await Promise.all(intake.unanswered);
  }

  /** To be called when nothing comes any more: what was committed becomes durable without its journal. */
  close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelReplay();
    return this.#committer.close();
  }

  /** What a crash has taken and the disk did not let be brought back is tried again until all of it is there. */
  #replayLater(): void {
    if (this.#replay.isOver || this.#isClosed) return;
    this.#cancelReplay = this.#parts.clock.after(REPLAY_MS, () => {
      void this.#committer.exclusive(() => this.#replay.again()).catch((error) => {
        const message = `what a crash has taken could not be brought back: ${messageOf(error)}`;
        this.#parts.onEvent({ kind: "problem", level: "warning", message });
      }).then(() => this.#replayLater());
    });
  }

  /** Waits until something in the staging folder was freed. Never rejects: what could not be freed is swept another time. */
  async #freeing(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const message = `the staging folder could not be swept: ${messageOf(error)}`;
      this.#parts.onEvent({ kind: "problem", level: "warning", message });
    }
    this.#committer.tidy();
  }

  #intake(link: Link): Intake {
    let intake = this.#intakes.get(link);
    if (intake === undefined) {
      intake = {
        ...{ transfers: new Map(), refused: new Set(), unanswered: new Set() },
        ...{ copies: new Set(), questions: new Set(), dropped: false },
      };
      if (!link.isClosed) this.#intakes.set(link, intake);
      else intake.dropped = true;
    }
    return intake;
  }

  async #takeOperation(
    link: Link,
    header: RawHeader,
    content: FrameReader,
    costBytes: number,
  ): Promise<void> {
    const operation = parseOperation(header, link.headerExtensions);
    const headBytes = content.headBytes;
    const contentBytes = content.contentLeft;
    checkNameOn(this.#parts.system, operation.path);
    checkContentLength(operation, contentBytes);
    const intake = this.#intake(link);
    if (operation.pieces) {
      this.#finishTransfer(link, intake, operation, headBytes);
      return link.grant(costBytes);
    }
    if (operation.from !== null) {
      return this.#move(link, intake, { ...operation, from: operation.from }, headBytes, costBytes);
    }
    if (operation.offer) {
      await this.#takeOffer(link, intake, operation, headBytes, costBytes);
      while (intake.copies.size >= MAX_COPIES) await Promise.race(intake.copies);
      return;
    }
    const room = this.#quota.room(link.peer.number, operation.path);
    try {
      const body = bearsContent(operation) ? await this.#takeContent(link, operation, content, room) : null;
      this.#commit(link, intake, operation, body, headBytes + contentBytes, costBytes, () => room.release());
    } catch (error) {
      room.release();
      throw error;
    }
    const limit = link.has("credit") ? MAX_UNANSWERED : MAX_UNANSWERED_PLAIN;
    while (intake.unanswered.size >= limit) await Promise.race(intake.unanswered);
  }

  /** Checks that there is room for an operation's content, takes it and checks it. */
  async #takeContent(
    link: Link,
    operation: Operation,
    content: FrameReader,
    room: Room,
  ): Promise<Uint8Array | Staged> {
    room.ensure(operation.sizeBytes);
    await this.#checkRoom(operation.sizeBytes);
    if (operation.compressed || operation.sizeBytes > SMALL_BYTES) {
      return await this.#stageStream(link, operation, content);
    }
    const body = await content.rest();
    checkHash(operation, hashOf("sha256", body, "hex"));
    return body;
  }

  /** Has an operation committed, and answers when it is durable; does not wait for that. Credit comes back with the answer. */
  #commit(
    link: Link,
    intake: Intake,
    operation: Operation,
    content: Work["content"],
    wireBytes: number,
    costBytes: number,
    onSettled: (isOver: boolean) => void,
  ): void {
    const outcome = this.#committer.submit({
      peer: link.peer,
      operation,
      content,
      wireBytes,
      mayKeep: link.headerExtensions.folders,
      dropped: () => intake.dropped,
    });
    this.#answer(link, intake, operation, outcome, costBytes, onSettled);
  }

  /** A file is offered whose content may be here. Not awaited: others need not wait until it is copied. */
  async #takeOffer(
    link: Link,
    intake: Intake,
    operation: Operation,
    headBytes: number,
    costBytes: number,
  ): Promise<void> {
    const room = this.#quota.room(link.peer.number, operation.path);
    try {
      room.ensure(operation.sizeBytes);
      await this.#checkRoom(operation.sizeBytes);
    } catch (error) {
      room.release();
      throw error;
    }
    const copied = copyContent(
      { ...this.#parts, staging: this.#staging },
      link.peer.number,
      operation,
      () => intake.dropped,
    )
      .then(
        (staged) => this.#commit(link, intake, operation, staged, headBytes, costBytes, () => room.release()),
        (error) => {
          room.release();
          const { code, message } = toOutcome(error);
          link.grant(costBytes);
          link.refuse(operation.id, code, message);
          this.#parts.onReceived(link.peer.name, operation, { status: "error", code, message });
        },
      ).finally(() => {
        intake.unanswered.delete(copied);
        intake.copies.delete(copied);
      });
    intake.unanswered.add(copied);
    intake.copies.add(copied);
  }

  /** Renames what is here already, between two commits. */
  #move(link: Link, intake: Intake, move: Move, wireBytes: number, costBytes: number): void {
    checkNameOn(this.#parts.system, move.from);
    const outcome = this.#committer.settled<Outcome>(
      move.from,
      async () => {
        if (intake.dropped) throw new MirrorError("link_closed", "the link that brought it was replaced");
        if (this.#replay.standsFor(move.from)) await this.#replay.again();
        if (this.#replay.standsFor(move.from)) {
          throw new MirrorError(
            "cannot_move",
            `what a crash has left of ${move.from} is not brought back yet`,
          );
        }
        return await this.#mover.move(link.peer, move, wireBytes, new Slices(this.#parts.clock));
      },
    ).catch(toOutcome);
    this.#answer(link, intake, move, outcome, costBytes, () => {});
  }

  /** Answers an operation when its outcome is known, and gives the credit back that it took. */
  #answer(
    link: Link,
    intake: Intake,
    operation: Operation,
    outcome: Promise<Outcome>,
    costBytes: number,
    onSettled: (isOver: boolean) => void,
  ): void {
    const answered = outcome.then((outcome) => {
      intake.unanswered.delete(answered);
      link.grant(costBytes);
      onSettled(outcome.status === "ok" || !intake.dropped);
      if (outcome.status === "ok") {
        link.reply({ status: "ok", id: operation.id, ...(outcome.kept ? { kept: true } : {}) });
      } else link.refuse(operation.id, outcome.code, outcome.message);
      if (!intake.dropped) this.#parts.onReceived(link.peer.name, operation, outcome);
      if (operation.action === "delete" && operation.kind === "file" && outcome.status === "ok") {
        this.#free(intake, this.#partials.deleted(link.peer.number, operation.path));
      }
    });
    intake.unanswered.add(answered);
  }

  /** Writes content to staging as it comes, unpacking it if it is compressed; checks size and hash. */
  async #stageStream(link: Link, operation: Operation, content: FrameReader): Promise<Staged> {
    const staged = await this.#staging.create();
    const { path, sizeBytes } = operation;
    const startedMs = this.#parts.clock.now();
    const gunzip = operation.compressed ? new GunzipMember(operation.sizeBytes) : null;
    let size = 0;
    const progress = (): TransferProgress => ({
      direction: "receiving",
      peer: link.peer.name,
      path,
      doneBytes: size,
      sizeBytes,
      startedMs,
    });
    if (sizeBytes > SMALL_BYTES) this.#streams.add(progress);
    try {
      const hash = createHash("sha256");
      const keep = async (part: Uint8Array) => {
        size += part.length;
        hash.update(part);
        await staged.handle.write(part);
      };
      for (;;) {
        const some = await content.some(SMALL_BYTES);
        if (some === null) break;
        if (gunzip === null) await keep(some);
        else for await (const part of gunzip.push(some)) await keep(part);
      }
      for (const part of await gunzip?.finish() ?? []) await keep(part);
      if (size !== operation.sizeBytes) {
        throw new MirrorError(
          "bad_content",
          `the content is ${size} bytes long, its header says ${operation.sizeBytes}`,
        );
      }
      checkHash(operation, hash.digest("hex"));
      return staged;
    } catch (error) {
      staged.handle.close();
      await this.#parts.tree.unlink(staged.path);
      this.#committer.tidy();
      throw error;
    } finally {
      this.#streams.delete(progress);
      gunzip?.close();
    }
  }

  async #takePiece(link: Link, header: RawHeader, content: FrameReader, costBytes: number): Promise<void> {
    const intake = this.#intake(link);
    const id = idOf(header);
    if (id === null) return link.grant(costBytes);
    // The sender stops at the first refusal; what is on its way already is dropped as it comes.
    if (intake.refused.has(id)) return link.grant(costBytes);
    let transfer = intake.transfers.get(id);
    if (transfer === undefined) {
      transfer = new Transfer({
        header,
        peer: link.peer,
        tree: this.#parts.tree,
        store: this.#parts.store,
        staging: this.#staging,
        partials: this.#partials,
        clock: this.#parts.clock,
        checkRoom: (bytes) => {
          // What a reading of before says has been taken since by this very transfer.
          this.#room = null;
          return this.#checkRoom(bytes);
        },
        room: (path) => this.#quota.room(link.peer.number, path),
        copyOf: (path) => this.#copies.get(path) ?? null,
        resume: ({ turn, marks, plainUntil, lacks, has }) => {
          const more = {
            ...(lacks === undefined ? {} : { lacks }),
            ...(has === undefined ? {} : { has: has.hash }),
          };
          link.reply({ action: "resume", id, turn, marks, plain: plainUntil, ...more }, has?.chunks);
        },
        onFailure: ({ code, message }) => this.#refuseTransfer(link, header, id, code, message),
      });
      intake.transfers.set(id, transfer);
      try {
        if (intake.transfers.size > MAX_TRANSFERS) {
          throw new MirrorError(
            "not_accepting",
            `more than ${MAX_TRANSFERS} large files at once are not taken`,
          );
        }
        await transfer.checkFirst(this.#parts.system);
        const path = header["path"] as RelativePath;
        // What is here of it already needs no room again.
        const begun = this.#partials.find(link.peer.number, path, transfer.sizeBytes);
        await this.#checkRoom(transfer.sizeBytes - (begun?.verifiedBytes ?? 0), begun?.staged);
      } catch (error) {
        transfer.fail(error);
      }
    }
    if (content.contentLeft > MAX_PIECE_BYTES) {
      transfer.fail(new MirrorError("bad_content", "a piece is longer than 1 MiB"));
    }
    if (transfer.failure === null) {
      const { bytes, done } = await content.lend();
      transfer.take(header, bytes, () => {
        done();
        link.grant(costBytes);
      });
    } else link.grant(costBytes);
  }

  /** Something went wrong while pieces came: the sender is told, and what comes still is dropped. */
  #refuseTransfer(link: Link, header: RawHeader, id: string, code: ErrorCode, message: string): void {
    const intake = this.#intake(link);
    const transfer = intake.transfers.get(id);
    intake.transfers.delete(id);
    intake.refused.add(id);
    const [oldest] = intake.refused;
    if (intake.refused.size > MAX_REFUSED) intake.refused.delete(oldest!);
    if (transfer !== undefined) this.#free(intake, transfer.discard());
    link.refuse(id, code, message);
    this.#noteRefusal(link, header, code, message);
  }

  #finishTransfer(link: Link, intake: Intake, operation: Operation, headBytes: number): void {
    // Refused on the way, and answered then.
    if (intake.refused.delete(operation.id)) return;
    const transfer = intake.transfers.get(operation.id);
    if (transfer === undefined) {
      throw new MirrorError("bad_content", "no piece of this operation's content has come");
    }
    // Not awaited: other operations need not wait until the last pieces are written.
    const done = transfer.finish(operation).then(
      async (staged) => {
        // The sender goes on elsewhere, and sends the operation again after that.
        if (staged === null) return;
        intake.transfers.delete(operation.id);
        if (intake.dropped) return await transfer.suspend();
        const wireBytes = headBytes + transfer.wireBytes;
        this.#commit(
          link,
          intake,
          operation,
          { ...staged, partial: true },
          wireBytes,
          0,
          (isOver) => this.#free(intake, transfer.settled(isOver)),
        );
      },
      async (error) => {
        if (intake.dropped) return await transfer.suspend();
        intake.transfers.delete(operation.id);
        await transfer.discard();
        this.#committer.tidy();
        const { code, message } = toOutcome(error);
        link.refuse(operation.id, code, message);
        this.#parts.onReceived(link.peer.name, operation, { status: "error", code, message });
      },
    ).finally(() => intake.unanswered.delete(done));
    intake.unanswered.add(done);
  }

  #abort(link: Link, header: RawHeader): void {
    const id = idOf(header);
    const intake = this.#intake(link);
    if (id !== null) intake.refused.delete(id);
    const transfer = id === null ? undefined : intake.transfers.get(id);
    if (id === null || transfer === undefined) return;
    intake.transfers.delete(id);
    this.#free(intake, transfer.abandoned().then(() => this.#partials.sweep()));
  }

  /** Something in the staging folder is being freed. */
  #free(intake: Intake, work: Promise<void>): void {
    const freed = this.#freeing(work).finally(() => intake.unanswered.delete(freed));
    intake.unanswered.add(freed);
  }

  async #answerTree(link: Link, header: RawHeader): Promise<void> {
    const id = idOf(header);
    if (id === null) return link.refuse(null, "bad_header", 'the field "id" is missing');
    const intake = this.#intake(link);
    const answer = (async () => {
      try {
        if (header["action"] === "tree") await this.inspect(link.peer);
        const make = header["action"] === "tree" ? answerTree : answerBuckets;
        const { fields, content } = await this.#committer.exclusive(() =>
          Promise.resolve(make(this.#held(link.peer.number), header))
        );
        link.reply({ status: "ok", id, ...fields }, content);
      } catch (error) {
        link.refuse(id, codeOf(error, "failed"), messageOf(error));
      }
    })().finally(() => {
      intake.unanswered.delete(answer);
      intake.questions.delete(answer);
    });
    intake.unanswered.add(answer);
    intake.questions.add(answer);
    while (intake.questions.size >= MAX_QUESTIONS) await Promise.race(intake.questions);
  }

  /** What a peer has here. What a crash has taken and was not brought back yet is not: so its sender knows that it is not safe. */
  *#held(peer: number): Iterable<StatedPath> {
    for (const entry of this.#parts.store.synced.each(peer)) if (!this.#replay.lacks(entry.path)) yield entry;
  }

  /** Beginnings of other files, and then what is in the trash, go before a file that comes now is refused. */
  async #checkRoom(neededBytes: number, spared: string | null = null): Promise<void> {
    const missing = await this.#missingBytes(neededBytes);
    if (missing <= 0) return;
    await this.#partials.makeRoom(missing, spared);
    this.#room = null;
    if (await this.#missingBytes(neededBytes) <= 0) return;
    if (this.#trash !== null) {
      await this.#trash.makeRoom(await this.#missingBytes(neededBytes));
      this.#room = null;
      if (await this.#missingBytes(neededBytes) <= 0) return;
    }
    throw new MirrorError(
      "no_space",
      `the disk that holds synced/ has no room for ${neededBytes} bytes beside the ${
        SPARE_BYTES / 2 ** 20
      } MiB that stay free: make room there`,
    );
  }

  /** Bytes that would have to be freed to take so many more; 0 or less if there is room. */
  async #missingBytes(neededBytes: number): Promise<number> {
    const now = this.#parts.clock.monotonic();
    if (this.#room === null || now - this.#room.atMs > FREE_SPACE_MS) {
      this.#room = { bytes: await this.#parts.tree.freeBytes(), atMs: now };
    }
    return neededBytes + SPARE_BYTES - (this.#room.bytes ?? Infinity);
  }

  #noteRefusal(link: Link, header: RawHeader, code: ErrorCode, message: string): void {
    const text = (field: string) =>
      typeof header[field] === "string" ? (header[field] as string).slice(0, 4096) : null;
    const { clock, store, onEvent } = this.#parts;
    const path = text("path") ?? "";
    this.#parts.onRefused(link.peer.name, text("path"), code);
    store.log.add({
      atMs: clock.now(),
      id: idOf(header),
      direction: "received",
      action: text("action") ?? "?",
      path,
      sizeBytes: typeof header["size"] === "number" && Number.isSafeInteger(header["size"])
        ? header["size"]
        : null,
      hash: text("hash"),
      timestamp: text("timestamp"),
      sender: text("sender"),
      peer: link.peer.name,
      status: "error",
      code,
      error: message,
      wireBytes: frameBytes(header, 0),
    });
    onEvent({
      kind: "refused",
      level: "warning",
      message: `refused from ${link.peer.name}: ${message}`,
      path,
      peer: link.peer.name,
    });
  }
}

function checkContentLength(operation: Operation, contentBytes: number): void {
  const limit = contentLimit(operation);
  if (contentBytes > limit) {
    throw new MirrorError(
      "bad_content",
      `${contentBytes} bytes of content came where at most ${limit} can belong`,
    );
  }
  if (bearsContent(operation) && !operation.compressed && contentBytes !== operation.sizeBytes) {
    throw new MirrorError(
      "bad_content",
      `the content is ${contentBytes} bytes long, its header says ${operation.sizeBytes}`,
    );
  }
}
