import { Buffer } from "node:buffer";
import { createGzip, gzipSync } from "node:zlib";
import type { Action } from "../domain/header.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { type FileStat, type Observation, type PathState, sameState } from "../domain/observation.ts";
import type { FileTree, ReadHandle } from "../domain/ports.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { Link, Reply } from "../link/link.ts";
import { frameBytes } from "../wire/frame.ts";
import { confirmVersion, hashOpen, openObserved, readSmall } from "./read_version.ts";

/** Files up to this travel in one frame; larger ones in pieces, so that small ones can go in between. */
export const SMALL_BYTES = 256 * 1024;
/** Bytes of a piece. */
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
  /** Whether the peer may be asked if it has the content already. */
  readonly mayOffer: boolean;
  readonly now: () => number;
  readonly onProgress: (progress: Progress) => void;
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
    const read = { stat, hash, atMs: parts.now() };
    const state = stateOf(parts, stat, hash);
    if (acked !== null && sameState(acked, state)) {
      link.returnCredit(observed.sizeBytes);
      return { state, read, reply: OK, wireBytes: 0, silent: true };
    }
    if (content.length !== observed.sizeBytes) {
      link.returnCredit(observed.sizeBytes);
      await link.credit(content.length, false);
    }
    const header = headerOf(parts, state);
    const reply = await link.request("small", header, content);
    return { state, read, reply, wireBytes: frameBytes(header, content.length), silent: false };
  }
  const { file, stat } = await openObserved(tree, observed, restless);
  try {
    const known = await knownHash(parts, file, stat);
    if (known !== null) {
      const state = stateOf(parts, stat, known);
      const read = { stat, hash: known, atMs: parts.now() };
      if (acked !== null && sameState(acked, state)) {
        return { state, read, reply: OK, wireBytes: 0, silent: true };
      }
      if (link.has("offer") && parts.mayOffer) {
        const header = { ...headerOf(parts, state), offer: true };
        await link.credit(0, false);
        const reply = await link.request("small", header);
        return { state, read, reply, wireBytes: frameBytes(header, 0), silent: false };
      }
    }
    return link.has("pieces")
      ? await inPieces(parts, file, stat)
      : await inOneFrame(parts, file, stat, known);
  } finally {
    file.close();
  }
}

/**
 * The hash of a large file without sending it, where that could spare sending it: it was read before, or it has the size that the
 * peer has. Reading is much cheaper than sending.
 */
async function knownHash(parts: DeliveryParts, file: ReadHandle, stat: FileStat): Promise<string | null> {
  const { observed, acked, mayOffer, restless, link } = parts;
  if (restless || !mayOffer || !link.has("offer")) return null;
  if (observed.hash !== null && !observed.provisional) return observed.hash;
  if (acked?.kind !== "file" || acked.sizeBytes !== stat.sizeBytes) return null;
  const hash = await hashOpen(file, stat, observed);
  await confirmVersion(file, stat, hash, observed, false);
  return hash === acked.hash ? hash : null;
}

/** One pass: the pieces go out while they are hashed, the operation with the hash follows them. */
async function inPieces(parts: DeliveryParts, file: ReadHandle, stat: FileStat): Promise<Delivery> {
  const { link, id, observed } = parts;
  const startedMs = parts.now();
  const sizeBytes = stat.sizeBytes;
  let refusal: Reply | null = null;
  const answer = link.expectReply(id);
  answer.then((reply) => refusal = reply, () => {});
  let offset = 0;
  let sent = 0;
  // Two buffers take turns: one is read into while the other one is on its way.
  const buffers = [new Uint8Array(PIECE_BYTES), new Uint8Array(PIECE_BYTES)] as const;
  const onTheWay: [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()];
  let turn: 0 | 1 = 0;
  const send = async (part: Uint8Array) => {
    await onTheWay[turn];
    buffers[turn].set(part);
    await link.credit(part.length, true);
    const header = { action: "piece", id, path: observed.path, size: sizeBytes, offset };
    onTheWay[turn] = link.notify("bulk", header, buffers[turn].subarray(0, part.length));
    onTheWay[turn].catch(() => {});
    turn = turn === 0 ? 1 : 0;
    offset += part.length;
    sent += frameBytes(header, part.length);
    parts.onProgress({ doneBytes: offset, sizeBytes, startedMs });
    if (refusal !== null) throw STOPPED;
  };
  let hash: string;
  try {
    hash = await hashOpen(file, stat, observed, send);
    await confirmVersion(file, stat, hash, observed, parts.restless);
  } catch (error) {
    await Promise.allSettled(onTheWay);
    if (error === STOPPED) {
      // The receiver forgets the transfer when it knows that nothing more of it is to come.
      await link.notify("bulk", { action: "abort", id });
      return { state: stateOf(parts, stat, ""), read: null, reply: refusal!, wireBytes: sent, silent: false };
    }
    if (!link.isClosed) {
      link.forget(id);
      await link.notify("bulk", { action: "abort", id });
    }
    throw error;
  }
  await Promise.all(onTheWay);
  const state = stateOf(parts, stat, hash);
  const header = { ...headerOf(parts, state), pieces: true };
  await link.credit(0, false);
  await link.notify("bulk", header);
  const reply = await answer;
  const read = { stat, hash, atMs: parts.now() };
  return { state, read, reply, wireBytes: sent + frameBytes(header, 0), silent: false };
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
  const hash = known ?? await hashOpen(file, stat, observed);
  const contentBytes = compress ? await lengthOf(packed(file, stat)) : stat.sizeBytes;
  await confirmVersion(file, stat, hash, observed, parts.restless);
  const state = stateOf(parts, stat, hash);
  const header = { ...headerOf(parts, state), compressed: compress };
  const answer = link.expectReply(parts.id);
  answer.catch(() => {});
  const startedMs = parts.now();
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
    read: { stat, hash, atMs: parts.now() },
    reply,
    wireBytes: frameBytes(header, contentBytes),
    silent: false,
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
/** Thrown through the reading of a file when the peer has refused it on the way. */
const STOPPED = new Error("the peer has refused the file");
