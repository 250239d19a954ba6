import type { Clock, FileTree } from "../domain/ports.ts";
import { FileError } from "../domain/ports.ts";
import { ancestorsOf, parentOf, type RelativePath } from "../domain/relative_path.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import type { Synced } from "../store/synced.ts";
import { isDoubtful, sameMark } from "./apply.ts";
import { flushFolders, foldersAbove } from "./flush_folders.ts";
import { hashFile } from "./hash_file.ts";
import { markOf } from "./mark_of.ts";
import { recoveredNote } from "./recover_path.ts";
import { freeConflictPath } from "./staging.ts";

/** What an inspection of `synced/` found. */
export interface Inspection {
  /** Files that somebody had edited; each is a conflict copy now. */
  readonly edited: readonly { readonly path: RelativePath; readonly copy: string }[];
  /** Paths that somebody had deleted. */
  readonly vanished: readonly string[];
}

export interface InspectionParts {
  readonly tree: FileTree;
  readonly store: Store;
  readonly clock: Clock;
  readonly peer: number;
  /** Whether what a power cut has left at a path is still to be brought back from a journal: that is nobody's edit. */
  readonly waits: (path: RelativePath) => boolean;
  readonly pause: () => Promise<void>;
}

const PAGE = 500;

/**
 * Looks whether what a peer has put into `synced/` is still there as it was. A file that was edited becomes a conflict copy, and
 * its row goes, as the row of one that was deleted does: the comparison of trees then brings the peer's version back. A file that
 * was only touched gets its times back. Unchanged files are not read. To be called while nothing is being committed.
 */
export async function inspectSynced(parts: InspectionParts): Promise<Inspection> {
  const { store, clock, peer } = parts;
  const edited: { path: RelativePath; copy: string }[] = [];
  const vanished: string[] = [];
  const folders = new Map<string, boolean>();
  for (let after = "";;) {
    const page = store.synced.page(peer, after, PAGE);
    if (page.length === 0) return { edited, vanished };
    after = page.at(-1)!.path;
    const changes: (() => void)[] = [];
    const renamedIn = new Set<string>();
    const gone: Synced[] = [];
    for (const row of page) {
      if (parts.waits(row.path)) continue;
      const verdict = await inspectOne(parts, row, folders);
      if (verdict === "same") continue;
      if (verdict === "gone") {
        gone.push(row);
      } else if ("copy" in verdict) {
        edited.push({ path: row.path, copy: verdict.copy });
        renamedIn.add(parentOf(row.path) ?? "");
        changes.push(() => {
          store.synced.remove(peer, row.path);
          store.log.add(
            localNote(
              clock.now(),
              "conflict",
              verdict.copy,
              "conflict",
              `${row.path} was edited here by hand: this is that version`,
            ),
          );
        });
      } else {
        changes.push(() => {
          store.synced.put(verdict.row);
          if (verdict.recovered) store.log.add(recoveredNote(clock.now(), row.path, row.state));
        });
      }
    }
    // So that a copy is where the log says. If it cannot be, a power cut may bring it back to its old place, as what it is: an edit.
    for (const folder of renamedIn) await isFlushed(parts.tree, [folder]);
    // Without their rows nobody would know whose they are if a power cut brought them back.
    if (gone.length > 0 && await isFlushed(parts.tree, foldersAbove(...gone.map(({ path }) => path)))) {
      for (const row of gone) {
        const { path } = row;
        // What was never acknowledged may never have been there.
        const isDeletion = !isDoubtful(row);
        if (isDeletion) vanished.push(path);
        changes.push(() => {
          store.synced.remove(peer, path);
          if (!isDeletion) return;
          const message = "deleted here by hand: it is fetched again";
          store.log.add(localNote(clock.now(), "vanished", path, "vanished", message));
        });
      }
    }
    if (changes.length > 0) {
      store.transaction(() => {
        store.intents.clear();
        for (const change of changes) change();
      });
    }
    await parts.pause();
  }
}

/** Makes the entries of folders durable, if the disk lets it; tells whether it did. */
async function isFlushed(tree: FileTree, folders: Iterable<string>): Promise<boolean> {
  try {
    await flushFolders(tree, folders);
    return true;
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    return false;
  }
}

/** What was put in place and not acknowledged is whole: it is made durable, as the comparison of trees will count it as held. */
async function settled(tree: FileTree, clock: Clock, row: Synced): Promise<Verdict> {
  const { path, state } = row;
  if (state.kind === "file") await tree.flushFile(path);
  await flushFolders(tree, foldersAbove(path));
  const disk = state.kind === "file" ? await markOf(tree, path, state, clock) : await tree.lstat(path);
  // Edited in this moment: the next inspection finds out.
  return disk === null ? "same" : { row: { ...row, disk }, recovered: true };
}

type Verdict = "same" | "gone" | { readonly copy: string } | {
  readonly row: Synced;
  readonly recovered: boolean;
};

async function inspectOne(
  { tree, store, clock, peer }: InspectionParts,
  row: Synced,
  folders: Map<string, boolean>,
): Promise<Verdict> {
  const { path, state } = row;
  try {
    for (const folder of ancestorsOf(path)) {
      let real = folders.get(folder);
      if (real === undefined) folders.set(folder, real = (await tree.lstat(folder))?.kind === "folder");
      if (!real) return "gone";
    }
    const now = await tree.lstat(path);
    if (state.kind === "folder") {
      if (now?.kind !== "folder") return "gone";
      return isDoubtful(row) ? await settled(tree, clock, row) : "same";
    }
    if (now === null || now.kind !== "file") return "gone";
    const sameMode = now.executable === null || now.executable === state.executable;
    if (sameMark(now, row) && sameMode) return "same";
    if (now.sizeBytes !== state.sizeBytes || await hashFile(tree, path, clock) !== state.hash) {
      const copy = await freeConflictPath(tree, path, clock.now());
      // After a crash the empty place must not pass for a deletion by hand.
      store.transaction(() => store.intents.add({ peer, path, aside: copy, state: null }));
      await tree.rename(path, copy);
      return { copy };
    }
    if (now.mtimeMs !== row.disk.mtimeMs) await tree.setTimes(path, state.mtimeMs);
    if (!sameMode) await tree.setExecutable(path, state.executable);
    if (isDoubtful(row)) return await settled(tree, clock, row);
    const disk = await markOf(tree, path, state, clock);
    return disk === null ? "same" : { row: { ...row, disk }, recovered: false };
  } catch (error) {
    // What cannot be looked at is neither edited nor gone: the next inspection looks again.
    if (error instanceof FileError) return "same";
    throw error;
  }
}
