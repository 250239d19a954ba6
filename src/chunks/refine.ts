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
    : found(run, 0, bases, before, -before.offset, partsFrom, aligned ? run.length : patienceBytes);
  if (after === null || aligned) return copies;
  const last = copies.at(-1);
  const from = last === undefined ? 0 : last.at + last.length;
  return [
    ...copies,
    ...found(run, from, bases, after, run.length - after.offset, partsBefore, patienceBytes),
  ];
}

/** A part of a chunk of a base. */
interface Part {
  readonly index: number;
  readonly part: number;
  /** Where it begins and ends in the base. */
  readonly from: number;
  readonly to: number;
}

/**
 * The parts that are in the run, at one distance, from `low` on; as far as they are followed from the anchor.
 *
 * @param shift What a place in the base lacks to where the same bytes would be in the run.
 */
function found(
  run: Uint8Array,
  low: number,
  bases: readonly ChunkList[],
  { base, offset }: Anchor,
  shift: number,
  follow: (list: ChunkList, offset: number) => Iterable<Part>,
  patienceBytes: number,
): Copy[] {
  const list = bases[base]!;
  const parts: Part[] = [];
  let missed = 0;
  for (const part of follow(list, offset)) {
    if (part.from + shift < low || part.to + shift > run.length) break;
    if (hasPart(run, part.from + shift, list, part)) {
      missed = 0;
      parts.push(part);
    } else missed += part.to - part.from;
    if (missed > patienceBytes) break;
  }
  const copies: { base: number; from: number; at: number; length: number }[] = [];
  for (const { from, to } of parts.sort((a, b) => a.from - b.from)) {
    const last = copies.at(-1);
    if (last !== undefined && last.from + last.length === from) last.length += to - from;
    else copies.push({ base, from, at: from + shift, length: to - from });
  }
  return copies;
}

function* partsFrom(list: ChunkList, offset: number): IterableIterator<Part> {
  for (let index = list.indexFrom(offset); index < list.count; index++) {
    for (let part = 0; part < list.parts; part++) yield partOf(list, index, part);
  }
}

/** The same, backwards. */
function* partsBefore(list: ChunkList, offset: number): IterableIterator<Part> {
  for (let index = list.indexFrom(offset) - 1; index >= 0; index--) {
    for (let part = list.parts - 1; part >= 0; part--) yield partOf(list, index, part);
  }
}

function partOf(list: ChunkList, index: number, part: number): Part {
  const start = list.offset(index), length = list.length(index);
  const from = start + partStart(length, part, list.parts);
  return { index, part, from, to: start + partStart(length, part + 1, list.parts) };
}

/** Whether a part of a chunk is what is at `at`: its CRC goes on from that of what is before it in the chunk. */
function hasPart(run: Uint8Array, at: number, list: ChunkList, { index, part, from, to }: Part): boolean {
  if (to - from < MIN_COPY_BYTES) return false;
  return crc32(run.subarray(at, at + to - from), list.crcBefore(index, part)) ===
    list.crcBefore(index, part + 1);
}
