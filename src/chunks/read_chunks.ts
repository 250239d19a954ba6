import { createHash } from "node:crypto";
import type { Clock, ReadHandle } from "../domain/ports.ts";
import { readParts } from "../domain/read_parts.ts";
import { Slices } from "../domain/slices.ts";
import { Differ } from "./differ.ts";
import type { Cutting } from "./gear.ts";

/** What a file holds. */
export interface ReadChunks {
  /** SHA-256 of all that was read, lower-case hex. */
  readonly hash: string;
  readonly sizeBytes: number;
  /** Its chunk list (`ChunkList`); `null` when it would be too long. */
  readonly chunks: Uint8Array | null;
}

/**
 * Reads an open file from its start to its end, and cuts it into chunks. Others get their turn in between.
 *
 * @param endBytes Where to end if the file goes on.
 * @param stopped Looked at now and then; when it says so, reading ends.
 * @returns `null` when it was stopped.
 */
export async function readChunks(
  file: ReadHandle,
  cutting: Cutting,
  clock: Clock,
  stopped: () => boolean = () => false,
  endBytes = Infinity,
): Promise<ReadChunks | null> {
  const hash = createHash("sha256");
  const differ = new Differ(cutting, Math.min(file.opened.sizeBytes, endBytes), []);
  let sizeBytes = 0;
  for await (const part of readParts(file, new Slices(clock), { endBytes })) {
    hash.update(part);
    passOver(differ.push(part));
    sizeBytes += part.length;
    if (stopped()) return null;
  }
  passOver(differ.finish());
  return { hash: hash.digest("hex"), sizeBytes, chunks: differ.chunks() };
}

/** The cutting happens as the runs are asked for; what they are does not matter here. */
function passOver(runs: Iterable<unknown>): void {
  for (const _ of runs);
}
