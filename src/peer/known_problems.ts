import type { Problem } from "../domain/status.ts";
import type { Store } from "../store/store.ts";
import { damageProblem } from "../verify/known_damage.ts";
import { unreadProblem } from "../watch/unread.ts";

/** What the database tells of files that cannot be read, or are damaged, whether something runs or not. */
export function knownProblems(store: Store): Problem[] {
  return [unreadProblem(store), damageProblem(store)].filter((problem) => problem !== null);
}
