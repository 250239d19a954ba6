import type { Observation } from "../domain/observation.ts";
import { stepFor } from "../domain/plan.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";

/** A change of one observation. */
export interface ObservedChange {
  readonly path: RelativePath;
  readonly before: Observation | null;
  readonly after: Observation | null;
  /** Where the same file or folder was before. */
  readonly movedFrom: RelativePath | null;
}

/** What changes mean for one peer. */
export interface Noted {
  /** What it is to get at paths where it has nothing: sent without asking the database again. */
  readonly creations: ReadonlyMap<RelativePath, Observation>;
  /** Files that are to be deleted there. */
  readonly deletions: number;
}

/**
 * Brings `pending` in line with a new state of some paths; to be called in the transaction that recorded it. The rows begin
 * anew: what went wrong with an earlier state says nothing of this one.
 */
export function noteChanges(
  store: Store,
  peers: readonly number[],
  changes: readonly ObservedChange[],
  nowMs: number,
): ReadonlyMap<number, Noted> {
  const noted = new Map(
    peers.map((peer) => [peer, { creations: new Map<RelativePath, Observation>(), deletions: 0 }]),
  );
  for (const { path, before, after, movedFrom } of changes) {
    const movedTo = after === null && before !== null
      ? store.observed.otherOf(before, path)?.path ?? null
      : null;
    for (const peer of peers) {
      const step = stepFor(after, store.acked.get(peer, path));
      if (step === null) store.pending.remove(peer, path);
      else store.pending.put({ peer, path, ...step, sinceMs: nowMs, movedTo, movedFrom });
      const of = noted.get(peer)!;
      if (step?.action === "create" && after !== null && movedFrom === null) of.creations.set(path, after);
      if (step?.action === "delete" && step.kind === "file") of.deletions++;
    }
  }
  return noted;
}

/**
 * Works out one path's row again after something other than the path changed (an ack, a comparison of trees). A row for the same
 * action stays, with its reason and its attempts.
 *
 * @returns Whether the path is still pending.
 */
export function replanPath(store: Store, peer: number, path: RelativePath, nowMs: number): boolean {
  const step = stepFor(store.observed.get(path), store.acked.get(peer, path));
  if (step === null) {
    store.pending.remove(peer, path);
    return false;
  }
  const row = store.pending.get(peer, path);
  if (row === null || row.action !== step.action) {
    store.pending.put({
      peer,
      path,
      ...step,
      sinceMs: row?.sinceMs ?? nowMs,
      movedTo: null,
      movedFrom: null,
    });
  }
  return true;
}

/** Works out everything that is pending for a peer: at start, and when the peer is new. */
export function replanAll(store: Store, peer: number, nowMs: number): void {
  store.transaction(() => {
    for (const { path } of store.observed.each()) replanPath(store, peer, path, nowMs);
    for (const { path } of store.acked.each(peer)) {
      if (store.observed.get(path) === null) replanPath(store, peer, path, nowMs);
    }
    for (const path of [...store.pending.paths(peer)]) replanPath(store, peer, path, nowMs);
  });
}
