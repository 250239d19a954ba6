import type { RunStatus } from "../domain/status.ts";
import type { Store } from "../store/store.ts";
import type { Home } from "./home.ts";
import { lockHolder } from "./home_lock.ts";
import { readRunStatus } from "./run_fact.ts";

/** Who runs a home now, and what it says of itself. */
export interface CurrentRun {
  /** Who has the lock; `null` when nobody does. */
  readonly holder: { readonly pid: number | null } | null;
  /** What the process that has the lock wrote; `null` when there is none, or it has not written anything yet. */
  readonly run: RunStatus | null;
}

/** Looks who runs a home. */
export async function currentRun(home: Home, store: Store): Promise<CurrentRun> {
  const holder = await lockHolder(home);
  const written = readRunStatus(store.facts.get("run"));
  // What an earlier process wrote is not the state of this one.
  const run = holder !== null && (holder.pid === null || holder.pid === written?.pid) ? written : null;
  return { holder, run };
}
