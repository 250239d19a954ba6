import { STAGING_FOLDER } from "../domain/relative_path.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import { localNote } from "../store/log.ts";
import { flushFolders, foldersAbove } from "./flush_folders.ts";
import { hashFile } from "./hash_file.ts";
import { recoverMoves } from "./move.ts";
import { noteCopies } from "./note_copies.ts";
import { type RecoverParts, recoverPath } from "./recover_path.ts";
import { Replay } from "./replay.ts";

/**
 * After a crash: finds out for every commit that was begun whether it happened, so that our own write is never taken for an edit
 * by hand, and gives back whatever was put aside and not settled. Then the staging folder is swept.
 *
 * @returns Knows what could not be brought back for now, and tries again.
 */
export async function recoverCommits(parts: RecoverParts): Promise<Replay> {
  const { store, staging, clock } = parts;
  await recoverMoves(parts);
  const begun = store.intents.list();
  const replay = new Replay(parts, begun);
  await replay.committed();
  for (const intent of begun) await recoverPath(parts, intent);
  // What was renamed and removed, before it is forgotten that it had to be.
  if (begun.length > 0) {
    await flushFolders(parts.tree, [STAGING_FOLDER, ...foldersAbove(...begun.map(({ path }) => path))]);
  }
  await noteCopies(parts, begun.map(({ path }) => path));
  store.intents.clear();
  await noteCopies(parts, await replay.begun());
  const inUse = replay.end();
  for (const { staged } of store.partials.list()) inUse.add(staged);
  const known = (asides: readonly string[]) => versionsReceived(parts, asides);
  await staging.sweep(clock.now(), inUse, known, (path) => {
    const message = "an old version that a crash had left in staging is kept";
    store.transaction(() => store.log.add(localNote(clock.now(), "conflict", path, "conflict", message)));
  });
  return replay;
}

/**
 * Which of the old versions are, by content and time, what a peer has once sent: a power cut can bring back names that had gone
 * after their commit, and nobody here has written what they hold.
 */
async function versionsReceived(
  { tree, store, clock }: RecoverParts,
  asides: readonly string[],
): Promise<ReadonlySet<string>> {
  const versions = new Map<string, { hash: string; timestamp: string }>();
  for (const path of asides) {
    const stat = await tree.lstat(path);
    if (stat?.kind !== "file") continue;
    const hash = await hashFile(tree, path, clock);
    versions.set(path, { hash, timestamp: formatTimestamp(stat.mtimeMs) });
  }
  const received = store.log.received([...versions.values()].map(({ hash }) => hash));
  const known = new Set<string>();
  for (const [path, { hash, timestamp }] of versions) {
    if (received.get(hash)?.has(timestamp)) known.add(path);
  }
  return known;
}
