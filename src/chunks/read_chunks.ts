import { createHash } from "node:crypto";
import type { Clock, ReadHandle } from "../domain/ports.ts";
import { Slices } from "../domain/slices.ts";
import { Differ } from "./differ.ts";
import type { Cutting } from "./gear.ts";

const READ_BYTES = 256 * 1024;

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
 * @param stopped Looked at now and then; when it says so, reading ends.
 * @returns `null` when it was stopped.
 */
export async function readChunks(
  file: ReadHandle,
  cutting: Cutting,
  clock: Clock,
  stopped: () => boolean = () => false,
): Promise<ReadChunks | null> {
  const hash = createHash("sha256");
  const differ = new Differ(cutting, file.opened.sizeBytes, []);
  const slices = new Slices(clock);
  const buffer = new Uint8Array(READ_BYTES);
  let sizeBytes = 0;
  for (;;) {
    const count = await file.readAt(buffer, sizeBytes);
    if (count === 0) break;
    const bytes = buffer.subarray(0, count);
    hash.update(bytes);
    passOver(differ.push(bytes));
    sizeBytes += count;
    if (stopped()) return null;
    if (slices.over) await slices.rest();
  }
  passOver(differ.finish());
  return { hash: hash.digest("hex"), sizeBytes, chunks: differ.chunks() };
}

/** The cutting happens as the runs are asked for; what they are does not matter here. */
function passOver(runs: Iterable<unknown>): void {
  for (const _ of runs);
}
