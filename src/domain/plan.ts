import type { Action } from "./header.ts";
import { type Kind, type Observation, type PathState, sameState, stateOf } from "./observation.ts";

/** What a peer must be told about one path. */
export interface Step {
  readonly action: Action;
  /** For a deletion: the kind that the peer has. */
  readonly kind: Kind;
  readonly sizeBytes: number;
}

/**
 * The plan of a mirror, for one path: what turns the state that the peer acknowledged into the one that is observed.
 *
 * - Not observed, but acknowledged: delete. An observation disappears only when a look at the disk has shown that nothing is
 *   there; what could not be looked at stays observed, and held.
 * - Held (ignored, or unknown at present): the peer keeps what it has.
 * - A file that was not read yet is an update even if its content turns out to be the same: only reading can tell.
 *
 * @returns `null` when the peer already has it.
 */
export function stepFor(observed: Observation | null, acked: PathState | null): Step | null {
  if (observed === null) return acked === null ? null : { action: "delete", kind: acked.kind, sizeBytes: 0 };
  if (observed.held !== null) return null;
  const { kind, sizeBytes } = observed;
  if (acked === null) return { action: "create", kind, sizeBytes: kind === "file" ? sizeBytes : 0 };
  const state = stateOf(observed);
  if (state !== null && sameState(state, acked)) return null;
  return { action: "update", kind, sizeBytes: kind === "file" ? sizeBytes : 0 };
}

/** How a receiving folder treats names that differ only in case or in Unicode form; found by trying, not from the system. */
export interface Folding {
  readonly case: boolean;
  readonly unicode: boolean;
}

export const NO_FOLDING: Folding = { case: false, unicode: false };

/** The form under which a folding receiver takes two paths for one. */
export function foldedPath(path: string, folding: Folding): string {
  const form = folding.unicode ? path.normalize("NFC") : path;
  return folding.case ? form.toLowerCase() : form;
}
