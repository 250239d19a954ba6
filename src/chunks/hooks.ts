import { ChunkList, type ChunkMark, crcOf } from "./chunk_list.ts";

/** There is about one hook for so many bytes, as a power of two. */
const HOOK_BITS = 16;
/** Of large chunks, too, only every 2^3-th one is a hook: a list of 20 GiB has 2^14 of them then, like one of 1 GiB. */
const MIN_BITS = 3;

/**
 * Whether a chunk is one of the few by which the list that it stands in can be found among all lists: every 2^n-th one, chosen by
 * its content, so that whoever has the same chunk chooses the same (sparse indexing: Lillibridge et al., FAST 2009).
 */
export function isHook(mark: ChunkMark, averageBits: number): boolean {
  const bits = Math.max(MIN_BITS, HOOK_BITS - averageBits);
  return (mark[mark.length / 2 - 1]! & ((1 << bits) - 1)) === 0;
}

/** The hooks of a list, by the CRC of their chunks; none when the bytes are no list. */
export function hooksOf(
  bytes: Uint8Array,
): { readonly averageBits: number; readonly crcs: readonly number[] } {
  const list = ChunkList.parse(bytes);
  if (list === null) return { averageBits: 0, crcs: [] };
  const { averageBits } = list.cutting;
  const crcs = new Set<number>();
  for (let i = 0; i < list.count; i++) {
    const mark = list.mark(i);
    if (isHook(mark, averageBits)) crcs.add(crcOf(mark));
  }
  return { averageBits, crcs: [...crcs] };
}
