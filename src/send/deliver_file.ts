import { Buffer } from "node:buffer";
import { createGzip, gzipSync } from "node:zlib";
import type { Action } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { type FileStat, type Observation, type PathState, sameState } from "../domain/observation.ts";
import type { Clock, FileTree, ReadHandle } from "../domain/ports.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { Link, Reply } from "../link/link.ts";
import { frameBytes } from "../wire/frame.ts";
import { type Base, Outgoing } from "./outgoing.ts";
import type { Similar } from "./similar.ts";
import { confirmVersion, hashOpen, openObserved, readSmall } from "./read_version.ts";

/** Files up to this travel in one frame; larger ones in pieces, so that small ones can go in between. */
export const SMALL_BYTES = 256 * 1024;
/** Content up to this is sent as it is: asking whether the peer has it would cost as much. */
const TINY_BYTES = 512;
/** Bytes that are read of a file for a peer that knows only the plain protocol. */
const PIECE_BYTES = 256 * 1024;
/** A sample that shrinks to less than this share is worth compressing for a peer that knows nothing better. */
const WORTH_COMPRESSING = 0.9;

/** How far a large file has come. */
export interface Progress {
  readonly doneBytes: number;
  readonly sizeBytes: number;
  readonly startedMs: number;
}

/** How the delivery of one file ended. */
export interface Delivery {
  /** What the peer holds if it said ok. */
  readonly state: PathState;
  /** What was read for it; `null` when nothing was. */
  readonly read: { readonly stat: FileStat; readonly hash: string; readonly atMs: number } | null;
  readonly reply: Pick<Reply, "status" | "code" | "message">;
  readonly wireBytes: number;
  /** Nothing travelled: the peer had it already. */
  readonly silent: boolean;
  /** How the version is cut into chunks, if it was found out. */
  readonly chunks: Uint8Array | null;
  /** The peer was asked to make it of what it has. */
  readonly offered?: true;
}

export interface DeliveryParts {
  readonly link: Link;
  readonly id: string;
  readonly action: Action;
  readonly observed: Observation;
  readonly acked: PathState | null;
  readonly tree: FileTree;
  readonly sender: string;
  readonly hasModes: boolean;
  /** The file does not rest: a version of one moment is taken. */
  readonly restless: boolean;
  /** What the peer is known to hold, at whatever path. */
  readonly peerHas: {
    readonly content: (hash: string, sizeBytes: number) => boolean;
    readonly size: (sizeBytes: number) => boolean;
  };
  /** Whether the peer may be asked if it has the content already. */
  readonly mayOffer: boolean;
  readonly clock: Clock;
  /** Content that the peer is known to have and the file may be like, the likest first. */
  readonly bases: readonly Base[];
  readonly similar: Similar;
  /** Where what the receiver asks of a transfer finds it, by the id of the operation. */
  readonly outgoing: Map<string, Outgoing>;
  readonly onProgress: (progress: Progress) => void;
  /** All of a large file was sent; only the answer is missing. */
  readonly onSent: () => void;
}

/**
 * Brings one file to the peer in the way that suits it: small ones whole, large ones in pieces, those that the peer may have by
 * an offer; to a peer that knows only the plain protocol whole, compressed if that pays.
 *
 * @throws {MirrorError} `changed_while_reading` or `link_closed`; {FileError} when the file cannot be read.
 */
export async function deliverFile(parts: DeliveryParts): Promise<Delivery> {
  const { link, observed, acked, tree, restless } = parts;
  if (observed.sizeBytes <= SMALL_BYTES) {
    // Credit first: what waits for it must not wait in memory.
    await link.credit(observed.sizeBytes, false);
    const { stat, hash, content } = await readSmall(tree, observed, restless, SMALL_BYTES).catch((error) => {
      link.returnCredit(observed.sizeBytes);
      throw error;
    });
    const read = { stat, hash, atMs: parts.clock.now() };
    const state = stateOf(parts, stat, hash);
    if (acked !== null && sameState(acked, state)) {
      link.returnCredit(observed.sizeBytes);
      return { state, read, reply: OK, wireBytes: 0, silent: true, chunks: null };
    }
    const isThere = content.length > TINY_BYTES &&
      (acked?.hash === hash || parts.peerHas.content(hash, content.length));
    if (isThere && link.has("offer") && parts.mayOffer) {
      link.returnCredit(observed.sizeBytes);
      return await offer(parts, state, read);
    }
    if (content.length !== observed.sizeBytes) {
      link.returnCredit(observed.sizeBytes);
      await link.credit(content.length, false);
    }
    const header = headerOf(parts, state);
    const reply = await link.request("small", header, content);
    return { state, read, reply, wireBytes: frameBytes(header, content.length), silent: false, chunks: null };
  }
  const { file, stat } = await openObserved(tree, observed, restless);
  try {
    const known = await knownHash(parts, file, stat);
    if (known !== null) {
      const state = stateOf(parts, stat, known);
      const read = { stat, hash: known, atMs: parts.clock.now() };
      if (acked !== null && sameState(acked, state)) {
        return { state, read, reply: OK, wireBytes: 0, silent: true, chunks: null };
      }
      if (link.has("offer") && parts.mayOffer) return await offer(parts, state, read);
    }
    return link.has("pieces")
      ? await inPieces(parts, file, stat)
      : await inOneFrame(parts, file, stat, known);
  } finally {
    file.close();
  }
}

/** Asks the peer to make the file of content that it has. */
async function offer(parts: DeliveryParts, state: PathState, read: Delivery["read"]): Promise<Delivery> {
  const header = { ...headerOf(parts, state), offer: true };
  await parts.link.credit(0, false);
  const reply = await parts.link.request("small", header);
  const wireBytes = frameBytes(header, 0);
  return { state, read, reply, wireBytes, silent: false, chunks: null, offered: true };
}

/**
 * The hash of a large file without sending it, where that could spare sending it: it was read before, or the peer has something of
 * just this size. Reading is much cheaper than sending.
 */
async function knownHash(parts: DeliveryParts, file: ReadHandle, stat: FileStat): Promise<string | null> {
  const { observed, acked, peerHas, mayOffer, restless, link } = parts;
  if (restless || !mayOffer || !link.has("offer")) return null;
  if (observed.hash !== null && !observed.provisional) return observed.hash;
  if (acked?.sizeBytes !== stat.sizeBytes && !peerHas.size(stat.sizeBytes)) return null;
  const hash = await hashOpen(file, stat, observed, parts.clock, () => link.working());
  await confirmVersion(file, stat, hash, observed, false, parts.clock);
  return hash === acked?.hash || peerHas.content(hash, stat.sizeBytes) ? hash : null;
}

/** The pieces go out while they are hashed, the operation with the hash follows them; again, if the peer asks for that. */
async function inPieces(parts: DeliveryParts, file: ReadHandle, stat: FileStat): Promise<Delivery> {
  const { link, id, observed, restless } = parts;
  const sizeBytes = stat.sizeBytes;
  const startedMs = parts.clock.now();
  const outgoing = new Outgoing({
    link,
    id,
    observed,
    file,
    stat,
    bases: parts.bases,
    similar: parts.similar,
    clock: parts.clock,
    restless,
    onProgress: (doneBytes) => parts.onProgress({ doneBytes, sizeBytes, startedMs }),
  });
  let answered: Reply | null = null;
  let isComplete = false;
  const answer = link.expectReply(id);
  answer.then((reply) => {
    // It cannot have what was not sent yet.
    answered = reply.status === "ok" && !isComplete ? { ...reply, ...TOO_EARLY } : reply;
    outgoing.stop();
  }, () => outgoing.stop());
  parts.outgoing.set(id, outgoing);
  try {
    for (;;) {
      const passed = await outgoing.pass();
      if (passed === null) break;
      await confirmVersion(file, stat, passed.hash, observed, restless, parts.clock);
      const state = stateOf(parts, stat, passed.hash);
      const header = { ...headerOf(parts, state), pieces: true, turn: outgoing.turn };
      await link.credit(0, false);
      const handed = link.notify("bulk", header);
      isComplete = true;
      await handed;
      parts.onSent();
      await Promise.race([answer, outgoing.resumed()]);
      isComplete = false;
      if (answered === null) continue;
      const read = { stat, hash: passed.hash, atMs: parts.clock.now() };
      const wireBytes = outgoing.wireBytes + frameBytes(header, 0);
      return { state, read, reply: answered, wireBytes, silent: false, chunks: passed.chunks };
    }
    // Refused on the way. The receiver forgets the transfer when it knows that nothing more of it is to come.
    const reply = answered ?? await answer;
    await link.notify("bulk", { action: "abort", id });
    const state = stateOf(parts, stat, "");
    return { state, read: null, reply, wireBytes: outgoing.wireBytes, silent: false, chunks: null };
  } catch (error) {
    if (!link.isClosed) {
      link.forget(id);
      await link.notify("bulk", { action: "abort", id });
    }
    throw error;
  } finally {
    parts.outgoing.delete(id);
  }
}

/** For a peer that knows only the plain protocol: the hash goes before the content, so the file is read twice. */
async function inOneFrame(
  parts: DeliveryParts,
  file: ReadHandle,
  stat: FileStat,
  known: string | null,
): Promise<Delivery> {
  const { link, observed } = parts;
  const compress = await shrinks(file, stat);
  const hash = known ?? await hashOpen(file, stat, observed, parts.clock, () => link.working());
  const contentBytes = compress ? await lengthOf(packed(file, stat)) : stat.sizeBytes;
  await confirmVersion(file, stat, hash, observed, parts.restless, parts.clock);
  const state = stateOf(parts, stat, hash);
  const header = { ...headerOf(parts, state), compressed: compress };
  const answer = link.expectReply(parts.id);
  answer.catch(() => {});
  const startedMs = parts.clock.now();
  const source = watched(
    compress ? packed(file, stat) : plain(file, stat),
    (share) =>
      parts.onProgress({
        doneBytes: Math.floor(share / contentBytes * stat.sizeBytes),
        sizeBytes: stat.sizeBytes,
        startedMs,
      }),
  );
  await link.stream(header, contentBytes, source);
  const reply = await answer;
  return {
    state,
    read: { stat, hash, atMs: parts.clock.now() },
    reply,
    wireBytes: frameBytes(header, contentBytes),
    silent: false,
    chunks: null,
  };
}

async function shrinks(file: ReadHandle, stat: FileStat): Promise<boolean> {
  const sample = new Uint8Array(Math.min(SMALL_BYTES, stat.sizeBytes));
  const count = await file.readAt(sample, Math.floor((stat.sizeBytes - sample.length) / 2));
  return gzipSync(sample.subarray(0, count), { level: 1 }).length < count * WORTH_COMPRESSING;
}

async function* plain(file: ReadHandle, stat: FileStat): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < stat.sizeBytes;) {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES, stat.sizeBytes - offset));
    const count = await file.readAt(buffer, offset);
    if (count === 0) {
      throw new MirrorError("changed_while_reading", "the file became shorter while it was sent");
    }
    offset += count;
    yield buffer.subarray(0, count);
  }
}

/** The file as one gzip member; the same bytes every time, so its length can be found out first. */
async function* packed(file: ReadHandle, stat: FileStat): AsyncGenerator<Uint8Array> {
  const gzip = createGzip({ level: 1 });
  let parts: Uint8Array[] = [];
  let failure: unknown = null;
  gzip.on("data", (part: Uint8Array) => parts.push(part));
  gzip.on("error", (error) => failure = error);
  try {
    for await (const part of plain(file, stat)) {
      await new Promise<void>((resolve) => gzip.write(Buffer.from(part), () => resolve()));
      if (failure !== null) throw failure;
      yield* parts.splice(0);
    }
    await new Promise<void>((resolve) => {
      gzip.once("end", resolve);
      gzip.once("error", () => resolve());
      gzip.end();
    });
    if (failure !== null) throw failure;
    yield* parts;
    parts = [];
  } finally {
    gzip.destroy();
  }
}

async function lengthOf(source: AsyncIterable<Uint8Array>): Promise<number> {
  let length = 0;
  for await (const part of source) length += part.length;
  return length;
}

async function* watched(
  source: AsyncIterable<Uint8Array>,
  onBytes: (total: number) => void,
): AsyncGenerator<Uint8Array> {
  let total = 0;
  for await (const part of source) {
    yield part;
    total += part.length;
    onBytes(total);
  }
}

function stateOf({ hasModes }: DeliveryParts, stat: FileStat, hash: string): PathState {
  return {
    kind: "file",
    sizeBytes: stat.sizeBytes,
    mtimeMs: stat.mtimeMs,
    executable: hasModes && stat.executable === true,
    hash,
  };
}

function headerOf({ link, id, action, observed, sender, hasModes }: DeliveryParts, state: PathState) {
  return {
    id,
    action,
    path: observed.path,
    timestamp: formatTimestamp(state.mtimeMs),
    size: state.sizeBytes,
    hash: state.hash,
    sender,
    compressed: false,
    ...(hasModes && link.has("modes") ? { executable: state.executable } : {}),
  };
}

const OK = { status: "ok", code: "", message: "" } as const;
const TOO_EARLY = {
  status: "error",
  code: "failed",
  message: "the peer said ok before all of the file was sent",
} as const;
