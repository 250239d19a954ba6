import { type FileStat, type PathState, sameStat } from "../domain/observation.ts";
import type { Clock, FileTree } from "../domain/ports.ts";
import { hashFile } from "./hash_file.ts";

/**
 * How a file looks that has just been seen to hold a version: its content was read between two looks that agree. A look alone
 * could be at what somebody has saved since, whose mark would then pass for the version's. A time that somebody has given it since is
 * taken back, as far as the disk can tell such times apart; then its content is read once more.
 *
 * @returns `null` when the path holds something else, or is being changed.
 */
export async function markOf(
  tree: FileTree,
  path: string,
  { sizeBytes, mtimeMs, hash }: Pick<PathState, "sizeBytes" | "mtimeMs" | "hash">,
  clock: Clock,
): Promise<FileStat | null> {
  for (let first = true;; first = false) {
    const before = await tree.lstat(path);
    if (before?.kind !== "file" || before.sizeBytes !== sizeBytes) return null;
    if (await hashFile(tree, path, clock) !== hash) return null;
    const after = await tree.lstat(path);
    if (after === null || !sameStat(before, after)) return null;
    if (after.mtimeMs === mtimeMs || !first) return after;
    await tree.setTimes(path, mtimeMs);
  }
}
