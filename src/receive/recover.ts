import { localNote } from "../store/log.ts";
import { recoverMoves } from "./move.ts";
import { type RecoverParts, recoverPath } from "./recover_path.ts";
import { Replay } from "./replay.ts";

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
  for (const { staged } of store.partials.list()) inUse.add(staged);
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
