import { localNote } from "./log.ts";
import type { Store } from "./store.ts";

/** A folder of which too much would be deleted at once at a peer, so that nothing of it is. */
export interface HeldDeletion {
  /** `""` is the root. */
  readonly folder: string;
  /** Files that would be deleted in it, or were just before. */
  readonly deleted: number;
  /** Files that the peer holds in it, or held just before. */
  readonly of: number;
  readonly sinceMs: number;
}

function keyOf(peer: number): string {
  return `guard/${peer}`;
}

/** What is held for a peer, as the running process, or the last one, has left it in the table `facts`. */
export function readHeldDeletions(store: Store, peer: number): HeldDeletion[] {
  const fact = store.facts.get(keyOf(peer));
  return Array.isArray(fact) ? fact.filter(isHeldDeletion) : [];
}

export function writeHeldDeletions(store: Store, peer: number, held: readonly HeldDeletion[]): void {
  if (held.length === 0) store.facts.remove(keyOf(peer));
  else store.facts.set(keyOf(peer), held);
}

/**
 * Confirms the deletions that are held for a peer, and none that come later.
 *
 * @returns How many: files and folders.
 */
export function confirmHeldDeletions(
  store: Store,
  peer: { readonly number: number; readonly name: string },
  nowMs: number,
): number {
  return store.transaction(() => {
    const confirmed = store.pending.confirmHeld(peer.number);
    for (const { folder, deleted, of } of readHeldDeletions(store, peer.number)) {
      const message = `confirmed: ${deleted} of the ${of} files in ${
        folder === "" ? "watched/" : `watched/${folder}`
      } are deleted on ${peer.name}`;
      store.departed.forgive(peer.number, folder);
      store.log.add({ ...localNote(nowMs, "confirm", folder, "deletion_guard", message), peer: peer.name });
    }
    writeHeldDeletions(store, peer.number, []);
    return confirmed;
  });
}

function isHeldDeletion(value: unknown): value is HeldDeletion {
  if (typeof value !== "object" || value === null) return false;
  const { folder, deleted, of, sinceMs } = value as Record<string, unknown>;
  return typeof folder === "string" && [deleted, of, sinceMs].every((each) => typeof each === "number");
}
