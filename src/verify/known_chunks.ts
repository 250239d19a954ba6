import { ChunkList, ChunkListBuilder } from "../chunks/chunk_list.ts";
import { cuttingFor } from "../chunks/gear.ts";
import { readChunks } from "../chunks/read_chunks.ts";
import { type Clock, FileError, type FileTree } from "../domain/ports.ts";
import type { Store } from "../store/store.ts";
import type { DamagedVersion } from "./correct.ts";
import { type Expected, expectedInSynced, expectedInWatched } from "./expected.ts";

export interface KnownParts {
  readonly store: Store;
  readonly watched: FileTree;
  readonly synced: FileTree;
  readonly clock: Clock;
}

/**
 * How a version is cut that a peer was sent, or has sent: as it was remembered when it was acknowledged, else by reading a file
 * that should have this content, and has it.
 *
 * @returns `null` for a version that neither was sent to this peer nor came from it, and when no good file is left.
 */
export async function chunksFor(
  { store, watched, synced, clock }: KnownParts,
  peer: number,
  hash: string,
  stopped: () => boolean,
): Promise<Uint8Array | null> {
  const sent = store.acked.withHash(peer, hash).map(({ path }) => path);
  const received = store.synced.withHash(peer, hash, "" as never).map(({ path }) => path);
  if (sent.length + received.length === 0) return null;
  const kept = store.chunkLists.get(hash);
  if (kept !== null && ChunkList.parse(kept) !== null) return kept;
  const files = [
    ...received.map((path) => [synced, expectedInSynced(store, peer, path)] as const),
    ...sent.map((path) => [watched, expectedInWatched(store, path)] as const),
  ];
  for (const [tree, expected] of files) {
    if (expected?.hash !== hash) continue;
    const chunks = await readIfGood(tree, expected, clock, stopped);
    if (chunks !== null) return chunks;
    if (stopped()) return null;
  }
  return null;
}

async function readIfGood(
  tree: FileTree,
  expected: Expected,
  clock: Clock,
  stopped: () => boolean,
): Promise<Uint8Array | null> {
  try {
    const file = await tree.openRead(expected.diskPath);
    try {
      if (!expected.isAsLeft(file.opened)) return null;
      const read = await readChunks(file, cuttingFor(file.opened.sizeBytes, true), clock, stopped);
      return read?.hash === expected.hash ? read.chunks : null;
    } finally {
      file.close();
    }
  } catch (error) {
    // A file that cannot be read is no help; another one may be.
    if (error instanceof FileError) return null;
    throw error;
  }
}

/**
 * The list of a damaged version of a file: that of the right one, in which the damaged chunks have marks that nothing has. So a
 * sender that knows the right version knows what the peer still has of it, without being sent a list.
 *
 * @param ranges The damaged bytes.
 */
export function damagedList(good: Uint8Array, ranges: readonly (readonly [number, number])[]): Uint8Array {
  const list = ChunkList.parse(good);
  if (list === null) return good;
  const spoiled = new ChunkListBuilder(list.cutting, list.sizeBytes);
  let next = 0;
  for (let i = 0; i < list.count; i++) {
    const from = list.offset(i), to = list.offset(i + 1), mark = list.mark(i);
    while (next < ranges.length && ranges[next]![1] <= from) next++;
    const isDamaged = next < ranges.length && ranges[next]![0] < to;
    spoiled.add(list.length(i), isDamaged ? mark.map((crc) => ~crc >>> 0) : mark);
  }
  return spoiled.finish()!; // as long as the list that it was made of
}

/**
 * Remembers how a damaged version is cut that a peer holds of a file of ours, so that what is sent to it is only what is damaged.
 * A list that is there already is the better one; nothing is remembered of versions that the peer was never sent.
 */
export function keepDamagedList(store: Store, peer: number, version: DamagedVersion, nowMs: number): void {
  const { hash, like, ranges } = version;
  if (store.chunkLists.get(hash) !== null || store.acked.withHash(peer, like).length === 0) return;
  const good = store.chunkLists.get(like);
  const list = good === null ? null : ChunkList.parse(good);
  if (good === null || list === null) return;
  // Without hooks: nothing else shall be built on what a disk has spoiled.
  const hooks = { averageBits: list.cutting.averageBits, crcs: [] };
  store.chunkLists.put(hash, damagedList(good, ranges), hooks, nowMs);
}
