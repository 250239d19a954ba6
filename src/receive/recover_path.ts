import type { FileStat, PathState } from "../domain/observation.ts";
import type { Folding } from "../domain/plan.ts";
import type { Clock, FileTree } from "../domain/ports.ts";
import { ancestorsOf, nameOf, parentOf, type RelativePath, STAGING_FOLDER } from "../domain/relative_path.ts";
import type { Intent } from "../store/intents.ts";
import { localNote, type LogEntry } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import type { Synced } from "../store/synced.ts";
import { flushFolders, foldersAbove } from "./flush_folders.ts";
import { hashFile } from "./hash_file.ts";
import { lookAgain } from "./look_again.ts";
import { markOf } from "./mark_of.ts";
import { freeConflictPath, type Staging } from "./staging.ts";
import { asTrashed, findTrashed, type Trash } from "./trash.ts";
import { twinOf } from "./twin.ts";

/** What recovery works with. */
export interface RecoverParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly staging: Staging;
  readonly folding: Folding;
  readonly clock: Clock;
  readonly trash: Trash | null;
}

/**
 * Finds out for one path whether a commit that was begun has happened, and settles what waits aside. The row comes last: after a
 * crash in here, or when a user changes the path meanwhile, the same is found out again.
 */
export function recoverPath(parts: RecoverParts, intent: Intent): Promise<void> {
  return lookAgain(() => recoverAt(parts, intent));
}

async function recoverAt(parts: RecoverParts, intent: Intent): Promise<void> {
  const { tree, store } = parts;
  const { peer, path, state, aside } = intent;
  const row = store.synced.get(peer, path);
  const old = await tree.lstat(aside);
  if (old === null && row !== null) recordTrashed(parts, intent, row, await findTrashed(tree, aside));
  // Folders that are gone, or a symlink in their place: nothing is looked at or put back through that.
  const reachable = await hasRealParents(tree, path);
  const now = reachable ? await tree.lstat(path) : null;
  if (row === null && old === null && now !== null && await isOtherName(parts, path)) return;
  const isDone = state === null ? now === null : await holds(parts, path, now, state);
  if (!isDone && now === null && old !== null && reachable) return await tree.rename(aside, path);
  if (old !== null) {
    const isSame = isDone && now !== null && old.inode === now.inode && old.inode !== 0;
    if (isSame) await tree.unlink(aside);
    else await settleAside(parts, intent, old, reachable);
  }
  if (state !== null && isDone) {
    const disk = state.kind === "folder" ? now : await completed(parts, path, now!, state);
    if (disk === null) return; // edited in this moment: the inspection finds it
    // The crash may have come before the folders were flushed; with the row the operation counts as done when it comes again.
    await flushFolders(tree, [STAGING_FOLDER, ...foldersAbove(path)]);
    store.transaction(() => {
      store.synced.put({ path, peer, state, disk });
      store.log.add(recoveredNote(parts.clock.now(), path, state));
    });
  } else if (isDone || (now === null && reachable)) {
    // What was there is out of its place, in a conflict copy, or an empty folder that was to give way: it was us. A power cut now
    // could bring it back, and without the row nobody would know whose it is.
    await flushFolders(tree, [STAGING_FOLDER, parentOf(path) ?? ""]);
    store.synced.remove(peer, path);
  }
}

/** Gives a file that has the content of a version its times and mode too: it may be the version before, of the same content. */
async function completed(
  { tree, clock }: RecoverParts,
  path: RelativePath,
  now: FileStat,
  state: PathState,
): Promise<FileStat | null> {
  if (now.mtimeMs !== state.mtimeMs) await tree.setTimes(path, state.mtimeMs);
  if (now.executable !== null && now.executable !== state.executable) {
    await tree.setExecutable(path, state.executable);
  }
  await tree.flushFile(path);
  return await markOf(tree, path, state, clock);
}

/** Whether what a path shows is the state that it was to get. */
async function holds(
  { tree, clock }: RecoverParts,
  path: RelativePath,
  now: FileStat | null,
  state: PathState,
): Promise<boolean> {
  if (now?.kind !== state.kind) return false;
  if (state.kind === "folder") return true;
  return now.sizeBytes === state.sizeBytes && await hashFile(tree, path, clock) === state.hash;
}

/** What waits aside is the version before: it goes only if it is exactly what the peer had sent, or has sent now. */
async function settleAside(
  { tree, store, clock, trash }: RecoverParts,
  { peer, path, state, aside }: Intent,
  old: FileStat,
  reachable: boolean,
): Promise<void> {
  if (old.kind === "file") {
    const hash = await hashFile(tree, aside, clock);
    const row = store.synced.get(peer, path);
    if (row !== null && trash !== null && hash === row.state.hash && hash !== state?.hash) {
      const reason = state === null ? "deleted" : "replaced";
      const version = await trash.take(aside, { peer, path, row, reason });
      await flushFolders(tree, [trash.place]);
      return store.transaction(() => trash.record([version]));
    }
    if (hash === row?.state.hash || hash === state?.hash) return await tree.unlink(aside);
  }
  const kept = await freeConflictPath(tree, reachable ? path : nameOf(path), clock.now());
  await tree.rename(aside, kept);
  const message = `a version of ${path} that was edited here was kept`;
  store.log.add(localNote(clock.now(), "conflict", kept, "conflict", message));
}

/** The crash came when the old version was in the trash, before its row was. */
function recordTrashed(
  { store, clock }: RecoverParts,
  { peer, path, state }: Intent,
  row: Synced,
  stored: string | null,
): void {
  if (stored === null || store.trash.hasStored(stored)) return;
  const reason = state === null ? "deleted" : "replaced";
  store.transaction(() => store.trash.add(asTrashed({ peer, path, row, reason }, stored, clock.now())));
}

/** That an operation was applied and could not be logged, because a crash or a failing disk came before its answer. */
export function recoveredNote(atMs: number, path: RelativePath, state: PathState): LogEntry {
  const message = "received, but not acknowledged at the time: found to be whole, and made durable";
  return {
    ...localNote(atMs, "recovered", path, "recovered", message),
    sizeBytes: state.sizeBytes,
    hash: state.hash === "" ? null : state.hash,
  };
}

/** Whether what stands at a path that never came is there under another name: the operation would have been refused. */
export async function isOtherName({ tree, folding }: RecoverParts, path: RelativePath): Promise<boolean> {
  return await twinOf(tree, folding, path) !== null;
}

/** Whether every folder above a path is one, and no symlink. */
export async function hasRealParents(tree: FileTree, path: RelativePath): Promise<boolean> {
  for (const folder of ancestorsOf(path)) {
    if ((await tree.lstat(folder))?.kind !== "folder") return false;
  }
  return true;
}
