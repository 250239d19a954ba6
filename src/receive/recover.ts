import type { Clock, FileTree } from "../domain/ports.ts";
import { ancestorsOf, nameOf, type RelativePath } from "../domain/relative_path.ts";
import type { Intent } from "../store/intents.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { recoverMoves } from "./move.ts";
import { hashFile } from "./hash_file.ts";
import { freeConflictPath, type Staging } from "./staging.ts";

/** Beginnings of large files that are kept for their rest to come. */
const MAX_PARTIALS = 8;
const MAX_PARTIAL_AGE_MS = 7 * 24 * 3600 * 1000;

/**
 * After a crash: finds out for every commit that was begun whether it happened, so that our own write is never taken for an edit
 * by hand, and gives back whatever was put aside and not settled. Then the staging folder is swept.
 */
export async function recoverCommits(
  parts: { tree: FileTree; store: Store; staging: Staging; clock: Clock },
): Promise<void> {
  const { tree, store, staging, clock } = parts;
  await recoverMoves(parts);
  for (const intent of store.intents.list()) await recoverOne(tree, store, clock, intent);
  store.intents.clear();
  for (const path of await staging.sweep(clock.now(), keepPartials(store, clock.now()))) {
    store.log.add(
      localNote(
        clock.now(),
        "conflict",
        path,
        "conflict",
        "an old version that a crash had left in staging was kept",
      ),
    );
  }
}

/** Forgets beginnings of files that are too old, or too many; gives the staged files of the others. */
function keepPartials(store: Store, nowMs: number): Set<string> {
  const kept = new Set<string>();
  for (const partial of store.partials.list()) {
    if (kept.size < MAX_PARTIALS && nowMs - partial.updatedMs < MAX_PARTIAL_AGE_MS) kept.add(partial.staged);
    else store.partials.remove(partial.peer, partial.path);
  }
  return kept;
}

async function recoverOne(tree: FileTree, store: Store, clock: Clock, intent: Intent): Promise<void> {
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

async function hasRealParents(tree: FileTree, path: RelativePath): Promise<boolean> {
  for (const folder of ancestorsOf(path)) {
    if ((await tree.lstat(folder))?.kind !== "folder") return false;
  }
  return true;
}
