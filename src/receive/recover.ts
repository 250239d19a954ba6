import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import { recoverMoves } from "./move.ts";
import { type RecoverParts, recoverPath } from "./recover_path.ts";
import { Replay } from "./replay.ts";

/** Beginnings of large files that are kept for their rest to come. */
const MAX_PARTIALS = 8;
const MAX_PARTIAL_AGE_MS = 7 * 24 * 3600 * 1000;

/**
 * After a crash: finds out for every commit that was begun whether it happened, so that our own write is never taken for an edit
 * by hand, and gives back whatever was put aside and not settled. Then the staging folder is swept.
 */
export async function recoverCommits(parts: RecoverParts): Promise<void> {
  const { store, staging, clock } = parts;
  await recoverMoves(parts);
  const begun = store.intents.list();
  const replay = new Replay(parts, begun);
  await replay.committed();
  for (const intent of begun) await recoverPath(parts, intent);
  store.intents.clear();
  await replay.begun();
  const inUse = replay.end();
  for (const staged of keepPartials(store, clock.now())) inUse.add(staged);
  for (const path of await staging.sweep(clock.now(), inUse)) {
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
