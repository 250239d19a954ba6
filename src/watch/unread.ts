import type { Problem } from "../domain/status.ts";
import type { Store } from "../store/store.ts";

/** What of `watched/` cannot be read, and so may hold what is not on the peers; `null` when there is no such thing. */
export function unreadProblem(store: Store): Problem | null {
  const { count, first } = store.skipped.unreadable();
  if (first === null) return null;
  const { message, sinceMs } = first;
  const others = count === 1 ? "" : ` (and ${count - 1} more)`;
  return { code: "unreadable", message: `not all of watched/ can be read: ${message}${others}`, sinceMs };
}
