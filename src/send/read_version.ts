import { createHash, hash as hashOf } from "node:crypto";
import { MirrorError } from "../domain/mirror_error.ts";
import { type FileStat, type Observation, sameStat } from "../domain/observation.ts";
import type { Clock, FileTree, ReadHandle } from "../domain/ports.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";
import { observedStat } from "../watch/sighting.ts";

/** The content of a file at one moment: a version that existed as a whole. */
export interface Version {
  /** The file as it was then. Its size is the content's, also when the file grew while it was read. */
  readonly stat: FileStat;
  /** SHA-256, lower-case hex. */
  readonly hash: string;
}

/**
 * Opens an observed file.
 *
 * @param restless The file does not rest: its present state is taken although it was not the one that was observed.
 * @throws {MirrorError} `changed_while_reading` when it is another file, or another state of it, than was observed.
 */
export async function openObserved(
  tree: FileTree,
  observed: Observation,
  restless: boolean,
): Promise<{ file: ReadHandle; stat: FileStat }> {
  const file = await tree.openRead(observed.diskPath);
  try {
    const stat = observedStat(file.opened);
    if (!isAsObserved(stat, observed) && !(restless && stat.kind === "file")) throw changed(observed);
    return { file, stat };
  } catch (error) {
    file.close();
    throw error;
  }
}

function isAsObserved(stat: FileStat, observed: Observation): boolean {
  return sameStat(stat, observed) && (stat.executable ?? false) === observed.executable;
}

/**
 * Reads a small file whole. One that after that is still as it was observed has not changed since, so it needs no look before.
 *
 * @throws {MirrorError} `changed_while_reading`.
 */
export async function readSmall(
  tree: FileTree,
  observed: Observation,
  restless: boolean,
  limitBytes: number,
): Promise<Version & { content: Uint8Array }> {
  if (restless) return await readRestless(tree, observed, limitBytes);
  const { content, stat: found } = await tree.readSmall(observed.diskPath, observed.sizeBytes);
  const stat = observedStat(found);
  if (!isAsObserved(stat, observed) || content.length !== stat.sizeBytes) throw changed(observed);
  return { stat, hash: hashOf("sha256", content, "hex"), content };
}

/** The same for a file that does not rest: its state of one moment is taken, whatever was observed. */
async function readRestless(
  tree: FileTree,
  observed: Observation,
  limitBytes: number,
): Promise<Version & { content: Uint8Array }> {
  const { file, stat } = await openObserved(tree, observed, true);
  try {
    if (stat.sizeBytes > limitBytes) throw changed(observed);
    const content = new Uint8Array(stat.sizeBytes);
    if (await readFully(file, content) !== content.length) throw changed(observed);
    if (!sameStat(observedStat(await file.stat()), stat)) {
      // Read again: what is the same both times was the file's content, or the beginning of it, in between.
      const again = new Uint8Array(stat.sizeBytes);
      if (await readFully(file, again) !== content.length || !equal(content, again)) throw changed(observed);
    }
    return { stat, hash: hashOf("sha256", content, "hex"), content };
  } finally {
    file.close();
  }
}

/**
 * SHA-256 of the first `stat.sizeBytes` bytes of an open file. Others get their turn in between.
 *
 * @param onPart Called again and again while it is read.
 * @throws {MirrorError} `changed_while_reading` when the file is shorter.
 */
export async function hashOpen(
  file: ReadHandle,
  stat: FileStat,
  observed: Observation,
  clock: Clock,
  onPart: () => void = () => {},
): Promise<string> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const part of readParts(file, new Slices(clock), { endBytes: stat.sizeBytes })) {
    hash.update(part);
    sizeBytes += part.length;
    onPart();
  }
  if (sizeBytes < stat.sizeBytes) throw changed(observed);
  return hash.digest("hex");
}

/**
 * Whether what was read as `hash` was a version that existed: the file is still as it was, or, for one that does not rest, the
 * same bytes are read again.
 *
 * @throws {MirrorError} `changed_while_reading`.
 */
export async function confirmVersion(
  file: ReadHandle,
  stat: FileStat,
  hash: string,
  observed: Observation,
  restless: boolean,
  clock: Clock,
): Promise<void> {
  if (sameStat(observedStat(await file.stat()), stat)) return;
  if (!restless || await hashOpen(file, stat, observed, clock) !== hash) throw changed(observed);
}

function changed({ path }: Observation): MirrorError {
  return new MirrorError(
    "changed_while_reading",
    `${path} changed while it was read: it is sent when it rests`,
  );
}

async function readFully(file: ReadHandle, into: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < into.length) {
    const count = await file.readAt(into.subarray(filled), filled);
    if (count === 0) break;
    filled += count;
  }
  return filled;
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
