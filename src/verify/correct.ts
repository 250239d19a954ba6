import type { ChunkList } from "../chunks/chunk_list.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Clock, FileTree } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import { sameMark } from "../receive/apply.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { expectedInSynced } from "./expected.ts";
import type { ByteRange } from "./finding.ts";
import { judge } from "./judge.ts";

/** A damaged version of a file that a peer has sent, as that peer is told of it. */
export interface DamagedVersion {
  readonly path: RelativePath;
  /** SHA-256 of what is there. */
  readonly hash: string;
  /** SHA-256 of what should be there. */
  readonly like: string;
  readonly ranges: readonly ByteRange[];
}

export interface CorrectParts {
  readonly store: Store;
  /** `synced/`. */
  readonly tree: FileTree;
  readonly clock: Clock;
  readonly stopped: () => boolean;
  readonly listFor: (hash: string) => Promise<ChunkList | null>;
  /** Runs work while nothing is being committed to `synced/`. */
  readonly exclusive: <T>(work: () => Promise<T>) => Promise<T>;
}

/**
 * Makes the row of a damaged file in `synced/` say what is really there. Then belief and disk agree, the next comparison of trees
 * tells the peer, and what it sends replaces the file without a conflict copy, as nobody has edited it.
 *
 * @returns What is there; `null` when it is not damaged (any more).
 */
export async function correctSynced(
  parts: CorrectParts,
  peer: number,
  path: RelativePath,
): Promise<DamagedVersion | null> {
  const { store, tree, clock, stopped, listFor } = parts;
  const expected = expectedInSynced(store, peer, path);
  if (expected === null || expected.hash === null) return null;
  const slices = new Slices(clock, () => 1);
  const judgement = await judge({ tree, slices, stopped, listFor, onRead: () => {} }, expected);
  if (judgement === null) throw new MirrorError("link_closed", "it was stopped before it was done");
  const { verdict, ranges, foundHash: hash } = judgement;
  if (verdict !== "damaged" || hash === null) return null;
  const like = expected.hash;
  return await parts.exclusive(async () => {
    const now = await tree.lstat(path);
    const row = store.synced.get(peer, path);
    if (now === null || row === null || row.state.hash !== like || !sameMark(now, row)) return null;
    const where = ranges.map(([from, to]) => `${from} to ${to}`).slice(0, 20).join(", ");
    const message = `its bytes ${where} had been lost on this disk: the peer is asked for them`;
    store.transaction(() => {
      store.synced.put({ ...row, state: { ...row.state, hash } });
      store.log.add(localNote(clock.now(), "damage", path, "damage", message));
    });
    return { path, hash, like, ranges };
  });
}
