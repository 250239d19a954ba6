import { createHash } from "node:crypto";
import type { ChunkList } from "../chunks/chunk_list.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import { type Clock, FileError, type FileTree, type Random, type ReadHandle } from "../domain/ports.ts";
import { parentOf, type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import { flushFolders } from "../receive/flush_folders.ts";
import { ensureStaging } from "../receive/staging.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { type Expected, expectedInWatched } from "./expected.ts";
import type { ByteRange } from "./finding.ts";
import { hashOpen, SMALL_BYTES } from "./judge.ts";
import { damagedRanges } from "./ranges.ts";

/** Names that an interrupted repair leaves in the staging folder of `watched/`; swept at the next start. */
const PREFIX = "mend-";
const COPY_BYTES = 256 * 1024;

export interface MendParts {
  readonly store: Store;
  /** `watched/`. */
  readonly tree: FileTree;
  readonly clock: Clock;
  readonly random: Random;
  readonly stopped: () => boolean;
  readonly listFor: (hash: string) => Promise<ChunkList | null>;
  /** Bytes of the file as the peer holds it. @throws when it does not hold it. */
  readonly fetch: (path: RelativePath, offset: number, length: number) => Promise<Uint8Array>;
}

/**
 * Repairs a file of `watched/` whose content the disk has spoiled: a new file is built of its good bytes and of the peer's in place
 * of the damaged ones, and takes its place only if it has exactly the SHA-256 that is remembered, and the damaged file is to the last
 * moment as it was when it was read. In every other case nothing is changed.
 *
 * @returns What was damaged; nothing if the file is as it should be: whoever asks for a repair need not be right.
 * @throws {MirrorError} or {FileError} saying why it could not be repaired.
 */
export async function mendWatched(parts: MendParts, path: RelativePath): Promise<readonly ByteRange[]> {
  const { store, tree, clock } = parts;
  const expected = expectedInWatched(store, path);
  if (expected === null || expected.hash === null) throw failed(`${path} is not as it was observed`);
  const file = await tree.openRead(expected.diskPath);
  let staged: string | null = null;
  try {
    if (!expected.isAsLeft(file.opened)) throw changed(path);
    const slices = new Slices(clock, () => 1);
    if (await isGood(parts, file, expected.hash, slices)) return [];
    const list = expected.sizeBytes <= SMALL_BYTES ? null : await parts.listFor(expected.hash);
    const ranges = await damagedRanges(file, list, slices, parts.stopped);
    if (ranges === null) throw stoppedError();
    staged = await build(parts, file, expected, ranges, slices);
    await tree.copyMode(expected.diskPath, staged);
    await tree.flushFile(staged);
    const now = await tree.lstat(expected.diskPath);
    const row = expectedInWatched(store, path);
    if (now === null || !expected.isAsLeft(now) || row?.hash !== expected.hash || !row.isAsLeft(now)) {
      throw changed(path);
    }
    await tree.rename(staged, expected.diskPath);
    staged = null;
    await flushFolders(tree, [parentOf(expected.diskPath as RelativePath) ?? ""]);
    await checkWritten(parts, expected, slices);
    const where = ranges.map(([from, to]) => `${from} to ${to}`).slice(0, 20).join(", ");
    const message = `its bytes ${where} had been lost on this disk: they were fetched from the peer`;
    store.transaction(() => store.log.add(localNote(clock.now(), "damage", path, "damage", message)));
    return ranges;
  } finally {
    file.close();
    if (staged !== null) await tree.unlink(staged);
    await tidy(tree);
  }
}

/** Whether the file has the content that it should have; not, if it cannot be read. */
async function isGood(
  { stopped }: MendParts,
  file: ReadHandle,
  expectedHash: string,
  slices: Slices,
): Promise<boolean> {
  let found: string | null;
  try {
    found = await hashOpen(file, { slices, stopped, onRead: () => {} });
  } catch (error) {
    if (error instanceof FileError) return false;
    throw error;
  }
  if (found === null) throw stoppedError();
  return found === expectedHash;
}

/** Removes what an interrupted repair has left in `watched/`. */
export async function sweepMends(tree: FileTree): Promise<void> {
  if ((await tree.lstat(STAGING_FOLDER))?.kind !== "folder") return;
  for (const { name, stat } of await tree.list(STAGING_FOLDER)) {
    if (stat?.kind === "file" && name.startsWith(PREFIX)) await tree.unlink(`${STAGING_FOLDER}/${name}`);
  }
  await tidy(tree);
}

/** @returns The path of the file that was built and checked; not flushed. */
async function build(
  parts: MendParts,
  file: ReadHandle,
  expected: Expected,
  ranges: readonly ByteRange[],
  slices: Slices,
): Promise<string> {
  const { tree, random, stopped } = parts;
  await ensureStaging(tree);
  const staged = `${STAGING_FOLDER}/${PREFIX}${random.uuid()}`;
  const into = await tree.create(staged);
  let good = false;
  try {
    const hash = createHash("sha256");
    const buffer = new Uint8Array(COPY_BYTES);
    for (const [from, to, damaged] of stretches(ranges, expected.sizeBytes)) {
      for (let at = from; at < to;) {
        if (stopped()) throw stoppedError();
        const length = Math.min(COPY_BYTES, to - at);
        let bytes: Uint8Array;
        if (damaged) bytes = await parts.fetch(expected.path, at, length);
        else bytes = buffer.subarray(0, await file.readAt(buffer.subarray(0, length), at));
        if (bytes.length !== length) throw failed(`${expected.path} is shorter than it should be`);
        hash.update(bytes);
        await into.write(bytes);
        at += length;
        if (slices.over) await slices.rest();
      }
    }
    if (hash.digest("hex") !== expected.hash) {
      throw failed(
        `the peer's copy of ${expected.path} is damaged as well: neither side has the right content`,
      );
    }
    into.setTimes(file.opened.mtimeMs);
    good = true;
    return staged;
  } finally {
    into.close();
    if (!good) await tree.unlink(staged);
  }
}

/** Reads the repaired file once more: a disk that has lost bytes may lose them again. */
async function checkWritten({ tree, stopped }: MendParts, expected: Expected, slices: Slices): Promise<void> {
  const file = await tree.openRead(expected.diskPath);
  try {
    const hash = await hashOpen(file, { slices, stopped, onRead: () => {} });
    if (hash === null || hash === expected.hash) return;
    throw failed(`${expected.path} reads differently from what was written just now: its disk is failing`);
  } finally {
    file.close();
  }
}

/** The whole file in order: what is good of it, and what is damaged. */
function* stretches(
  ranges: readonly ByteRange[],
  sizeBytes: number,
): IterableIterator<readonly [from: number, to: number, damaged: boolean]> {
  let at = 0;
  for (const [from, to] of ranges) {
    if (from > at) yield [at, from, false];
    yield [from, to, true];
    at = to;
  }
  if (at < sizeBytes) yield [at, sizeBytes, false];
}

/** Removes the staging folder when nothing is in it. */
async function tidy(tree: FileTree): Promise<void> {
  try {
    if ((await tree.lstat(STAGING_FOLDER))?.kind === "folder") await tree.rmdir(STAGING_FOLDER);
  } catch (error) {
    // Another repair is under way in it; the last one removes it.
    if (!(error instanceof FileError)) throw error;
  }
}

function changed(path: string): MirrorError {
  return failed(
    `${path} was changed meanwhile (edited, or repaired from the other side): it is left as it is`,
  );
}

function failed(message: string): MirrorError {
  return new MirrorError("failed", message);
}

function stoppedError(): MirrorError {
  return new MirrorError("link_closed", "it was stopped before it was done");
}
