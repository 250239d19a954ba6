import { type ChunkList, markOf } from "../chunks/chunk_list.ts";
import type { ReadHandle } from "../domain/ports.ts";
import type { Slices } from "../domain/slices.ts";
import { type ByteRange, RangeList } from "./finding.ts";

/** Bytes that are read in one go, beyond the longest chunk: above the length up to which a read holds up the control thread. */
const READ_BYTES = 512 * 1024;

/**
 * Where a file differs from a version of the same size, by the chunks of that version: the whole of each chunk that does not have
 * its mark. A disk that loses bytes moves nothing, so each chunk is looked for at its own place only.
 *
 * @param good The list of the right version; `null` when none is known.
 * @returns The ranges in their order; the whole file when no chunk differs, or nothing is known of the chunks. `null` when it was
 * stopped.
 * @throws {FileError} when the file cannot be read.
 */
export async function damagedRanges(
  file: ReadHandle,
  good: ChunkList | null,
  slices: Slices,
  stopped: () => boolean,
): Promise<readonly ByteRange[] | null> {
  const { sizeBytes } = file.opened;
  const whole: ByteRange[] = sizeBytes === 0 ? [] : [[0, sizeBytes]];
  if (good === null || good.sizeBytes !== sizeBytes) return whole;
  const damaged = new RangeList();
  const buffer = new Uint8Array(good.cutting.maxBytes + READ_BYTES);
  for (let first = 0; first < good.count;) {
    // As many chunks as fit.
    const from = good.offset(first);
    let end = first + 1;
    while (end < good.count && good.offset(end + 1) - from <= buffer.length) end++;
    const length = good.offset(end) - from;
    const count = await file.readAt(buffer.subarray(0, length), from);
    for (let i = first; i < end; i++) {
      const start = good.offset(i) - from, stop = good.offset(i + 1) - from;
      if (stop > count || !good.has(i, markOf(buffer, start, stop, good.parts))) {
        damaged.add(from + start, from + stop);
      }
    }
    first = end;
    if (stopped()) return null;
    if (slices.over) await slices.rest();
  }
  return damaged.ranges.length === 0 ? whole : damaged.ranges;
}
