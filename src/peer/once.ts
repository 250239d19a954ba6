import type { Clock } from "../domain/ports.ts";

/** How a run with `once` ended. */
export interface OnceResult {
  /** Whether a peer was reached at all. */
  readonly reached: boolean;
  /** Paths that are still pending, over all peers. */
  readonly left: number;
  /** Why nobody can say that this is all, or `null`. */
  readonly problem: string | null;
}

/** How long the linked peers may be waited for while they do nothing but keep the link alive: one may look through a very large tree. */
const SILENT_MS = 2 * 3_600_000;

/** How long a peer is dialled, at the start and again after a link was lost. */
const REACH_MS = 30_000;
/** How long a folder is tried that cannot be looked through. */
const LOOK_THROUGH_MS = 30_000;
/** How often the conditions are looked at; they are also looked at whenever something was delivered. */
const LOOK_MS = 50;

export interface OnceParts {
  readonly clock: Clock;
  /** Whether any peer is linked now. */
  readonly linked: () => boolean;
  /** Whether neither side can get any further, as far as the linked peers go. */
  readonly settled: () => boolean;
  readonly left: () => number;
  /** Why the watched folder cannot be looked through, or what was seen not be written down; `null` while all is well. */
  readonly problem: () => string | null;
  /** What of the watched folder could not be read; `null` when all could. */
  readonly unread: () => string | null;
  /** For how long the linked peers have been waited for, and have done nothing but keep the link alive; milliseconds. */
  readonly silentMs: () => number;
}

/** Waits until a run with `once` has done what it can. */
export function whenDone(
  parts: OnceParts,
): { readonly result: Promise<OnceResult>; readonly cancel: () => void } {
  let cancel = () => {};
  const result = new Promise<OnceResult>((resolve) => {
    let reached = false;
    let alone = parts.clock.monotonic();
    let able = alone;
    const look = () => {
      const now = parts.clock.monotonic();
      const problem = parts.problem();
      if (problem === null) able = now;
      const isLinked = parts.linked();
      if (isLinked) {
        reached = true;
        alone = now;
      }
      const isDone = parts.settled() && (isLinked || (reached && parts.left() === 0));
      const isSilent = !isDone && isLinked && parts.silentMs() >= SILENT_MS;
      if (isDone || isSilent || now - alone >= REACH_MS || now - able >= LOOK_THROUGH_MS) {
        const silence = isSilent
          ? `the other side has done nothing for ${SILENT_MS / 3_600_000} hours`
          : null;
        return resolve({ reached, left: parts.left(), problem: problem ?? silence ?? parts.unread() });
      }
      cancel = parts.clock.after(LOOK_MS, look);
    };
    look();
  });
  return { result, cancel: () => cancel() };
}
