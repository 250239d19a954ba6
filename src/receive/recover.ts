import type { Clock, FileTree } from "../domain/ports.ts";
import type { Intent } from "../store/intents.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { hashFile } from "./hash_file.ts";
import { freeConflictPath, type Staging } from "./staging.ts";

/**
 * After a crash: finds out for every commit that was begun whether it happened, so that our own write is never taken for an edit
 * by hand, and gives back whatever was put aside and not settled. Then the staging folder is swept.
 */
export async function recoverCommits(
  parts: { tree: FileTree; store: Store; staging: Staging; clock: Clock },
): Promise<void> {
  const { tree, store, staging, clock } = parts;
  for (const intent of store.intents.list()) await recoverOne(tree, store, clock, intent);
  store.intents.clear();
  for (const path of await staging.sweep(clock.now(), new Set())) {
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

async function recoverOne(tree: FileTree, store: Store, clock: Clock, intent: Intent): Promise<void> {
  const { peer, path, state, aside } = intent;
  const row = store.synced.get(peer, path);
  const now = await tree.lstat(path);
  const old = await tree.lstat(aside);
  if (state !== null) {
    const happened = now?.kind === "file" && now.sizeBytes === state.sizeBytes &&
      await hashFile(tree, path) === state.hash;
    if (happened) {
      store.synced.put({ path, peer, state, disk: now });
      if (old !== null && old.inode === now.inode && old.inode !== 0) return await tree.unlink(aside);
    } else if (now === null && old !== null) return await tree.rename(aside, path);
  } else if (now === null) store.synced.remove(peer, path);
  if (old === null) return;
  // What waits aside is the version before: gone for good only if it is exactly what the peer had sent.
  if (old.kind === "file" && row !== null && await hashFile(tree, aside) === row.state.hash) {
    return await tree.unlink(aside);
  }
  const kept = await freeConflictPath(tree, path, clock.now());
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
