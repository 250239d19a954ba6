import type { Clock, FileTree } from "../domain/ports.ts";
import { ancestorsOf, nameOf, type RelativePath } from "../domain/relative_path.ts";
import type { Intent } from "../store/intents.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { hashFile } from "./hash_file.ts";
import { freeConflictPath, type Staging } from "./staging.ts";

/** What recovery works with. */
export interface RecoverParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly staging: Staging;
  readonly clock: Clock;
}

/** Finds out for one path whether a commit that was begun has happened, and settles what waits aside. */
export async function recoverPath({ tree, store, clock }: RecoverParts, intent: Intent): Promise<void> {
  const { peer, path, state, aside } = intent;
  const row = store.synced.get(peer, path);
  const old = await tree.lstat(aside);
  // Folders that are gone, or a symlink in their place: nothing is looked at or put back through that.
  const reachable = await hasRealParents(tree, path);
  const now = reachable ? await tree.lstat(path) : null;
  if (state === null) {
    if (now === null) store.synced.remove(peer, path);
  } else if (
    now?.kind === "file" && now.sizeBytes === state.sizeBytes && await hashFile(tree, path) === state.hash
  ) {
    // The crash may have come before the folders were flushed; with the row the operation counts as done when it comes again.
    for (const folder of ["", ...ancestorsOf(path)]) await tree.flushFolder(folder);
    store.synced.put({ path, peer, state, disk: now });
    if (old !== null && old.inode === now.inode && old.inode !== 0) return await tree.unlink(aside);
  } else if (now === null && old !== null && reachable) return await tree.rename(aside, path);
  if (old === null) return;
  // What waits aside is the version before: it goes only if it is exactly what the peer had sent, or has sent now.
  if (old.kind === "file") {
    const hash = await hashFile(tree, aside);
    if (hash === row?.state.hash || hash === state?.hash) return await tree.unlink(aside);
  }
  const kept = await freeConflictPath(tree, reachable ? path : nameOf(path), clock.now());
  await tree.rename(aside, kept);
  store.log.add(
    localNote(
      clock.now(),
      "conflict",
      kept,
      "conflict",
      `a version of ${path} that was edited here was kept`,
    ),
  );
}

/** Whether every folder above a path is one, and no symlink. */
export async function hasRealParents(tree: FileTree, path: RelativePath): Promise<boolean> {
  for (const folder of ancestorsOf(path)) {
    if ((await tree.lstat(folder))?.kind !== "folder") return false;
  }
  return true;
}
