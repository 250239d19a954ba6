import { crc32 } from "node:zlib";
import { type ChunkList, partStart } from "./chunk_list.ts";

/** A place in one of the bases. */
export interface Anchor {
  readonly base: number;
  readonly offset: number;
}

/** A stretch of new content, from `at` on, that a base most likely has at `from`. */
export interface Copy {
  readonly base: number;
  readonly from: number;
  readonly at: number;
  readonly length: number;
}

/** Parts that are shorter would cost as much to be named as to be given. */
const MIN_COPY_BYTES = 32;

/**
 * Looks more closely at a stretch of new content none of whose chunks a base has: where what is before or behind it has come from a
 * base, most of its bytes are likely to follow there, or to come before. Each part of the old chunks in question is compared with the
 * bytes at the same distance. So a byte that was overwritten or inserted costs about one part of a chunk.
 *
 * @param before The place in a base that the stretch's first byte would come from; `null` when there is none.
 * @param after That of what follows its last byte.
 * @param patienceBytes Bytes in a row that may differ before it is given up.
 * @returns The copies in their order, and those that follow each other as one.
 */
export function refine(
  run: Uint8Array,
  bases: readonly ChunkList[],
  before: Anchor | null,
  after: Anchor | null,
  patienceBytes: number,
): Copy[] {
  const aligned = before !== null && after !== null && before.base === after.base &&
    after.offset - before.offset === run.length;
  const copies = before === null
    ? []
    : forwards(run, bases[before.base]!, before, aligned ? run.length : patienceBytes);
  if (after === null || aligned) return copies;
  const last = copies.at(-1);
  const from = last === undefined ? 0 : last.at + last.length;
  return [...copies, ...backwards(run, from, bases[after.base]!, after, patienceBytes)];
}

function forwards(run: Uint8Array, list: ChunkList, { base, offset }: Anchor, patienceBytes: number): Copy[] {
  const copies: Copy[] = [];
  let missed = 0;
  for (let index = list.indexFrom(offset); index < list.count; index++) {
    const start = list.offset(index), length = list.length(index);
    for (let part = 0; part < list.parts; part++) {
      const from = start + partStart(length, part, list.parts),
        to = start + partStart(length, part + 1, list.parts);
      if (to - offset > run.length) return copies;
      if (!hasPart(run, from - offset, list, index, part)) missed += to - from;
      else {
        missed = 0;
        const last = copies.at(-1);
        if (last !== undefined && last.from + last.length === from) {
          copies[copies.length - 1] = { ...last, length: last.length + to - from };
        } else copies.push({ base, from, at: from - offset, length: to - from });
      }
      if (missed > patienceBytes) return copies;
    }
  }
  return copies;
}

function backwards(
  run: Uint8Array,
  end: number,
  list: ChunkList,
  { base, offset }: Anchor,
  patienceBytes: number,
): Copy[] {
  const copies: Copy[] = [];
  const shift = run.length - offset;
  let missed = 0;
  for (let index = list.indexFrom(offset) - 1; index >= 0; index--) {
    const start = list.offset(index), length = list.length(index);
    for (let part = list.parts - 1; part >= 0; part--) {
      const from = start + partStart(length, part, list.parts),
        to = start + partStart(length, part + 1, list.parts);
      if (from + shift < end) return copies.reverse();
      if (!hasPart(run, from + shift, list, index, part)) missed += to - from;
      else {
        missed = 0;
        const last = copies.at(-1);
        if (last !== undefined && last.from === to) {
          copies[copies.length - 1] = { base, from, at: from + shift, length: last.length + to - from };
        } else copies.push({ base, from, at: from + shift, length: to - from });
      }
      if (missed > patienceBytes) return copies.reverse();
    }
  }
  return copies.reverse();
}

/** Whether a part of a chunk is what is at `at`: its CRC goes on from that of what is before it in the chunk. */
function hasPart(run: Uint8Array, at: number, list: ChunkList, index: number, part: number): boolean {
  const length = list.length(index);
  const bytes = partStart(length, part + 1, list.parts) - partStart(length, part, list.parts);
  if (bytes < MIN_COPY_BYTES) return false;
  const crc = crc32(run.subarray(at, at + bytes), list.crcBefore(index, part));
  return crc === list.crcBefore(index, part + 1);
}
