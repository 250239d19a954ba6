import type { Problem } from "../domain/status.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Store } from "../store/store.ts";
import { type Expected, expectedInSynced, expectedInWatched } from "./expected.ts";
import type { Finding, Side } from "./finding.ts";

/** What verifying has found damaged, in the table `facts`, until it is damaged no more. */
const FACT = "damage";
/** Files that are remembered: one is enough to be told of them. */
const MAX_FILES = 100;
/** Files that are named. */
const MAX_NAMED = 3;

interface Damage {
  readonly side: Side;
  readonly path: string;
  /** Whose file it is in `synced/`; 0 in `watched/`. */
  readonly peer: number;
  /** What was remembered of the file. With any other stamp it is another file: repaired, replaced, edited. */
  readonly stamp: string;
  readonly sinceMs: number;
}

/**
 * Remembers what re-reading this side has found damaged, in place of what was found before.
 *
 * @param peers Whose files in `synced/` were read; what is known of others' stays.
 */
export function noteDamage(
  store: Store,
  findings: readonly Finding[],
  peers: readonly number[],
  nowMs: number,
): void {
  const before = readDamage(store);
  const damage = before.filter(({ side, peer }) => side === "synced" && !peers.includes(peer));
  for (const { side, path, verdict } of findings) {
    if (verdict !== "damaged") continue;
    for (const peer of side === "watched" ? [0] : peers) {
      if (damage.length >= MAX_FILES) break;
      const stamp = expectedOf(store, { side, path, peer })?.stamp;
      if (stamp === undefined) continue;
      const known = before.find((each) => each.side === side && each.path === path && each.stamp === stamp);
      damage.push({ side, path, peer, stamp, sinceMs: known?.sinceMs ?? nowMs });
    }
  }
  if (damage.length > 0) store.facts.set(FACT, damage);
  else if (store.facts.get(FACT) !== null) store.facts.remove(FACT);
}

/** Remembers a file in `synced/` that was found damaged in passing. */
export function noteDamaged(store: Store, peer: number, path: RelativePath, nowMs: number): void {
  const stamp = expectedInSynced(store, peer, path)?.stamp;
  const known = readDamage(store);
  const isKnown = known.some((each) => each.side === "synced" && each.peer === peer && each.path === path);
  if (stamp === undefined || isKnown || known.length >= MAX_FILES) return;
  store.facts.set(FACT, [...known, { side: "synced", path, peer, stamp, sinceMs: nowMs }]);
}

/** What is still damaged of what verifying has found on this side; `null` when nothing is. */
export function damageProblem(store: Store): Problem | null {
  const damage = readDamage(store);
  if (damage.length === 0) return null;
  const names = damage.slice(0, MAX_NAMED).map(({ side, path }) => `${side}/${path}`);
  if (damage.length > names.length) names.push("…");
  const many = damage.length >= MAX_FILES ? `${MAX_FILES} files or more are` : `${damage.length} files are`;
  return {
    code: "damaged",
    message: `${damage.length === 1 ? "a file is" : many} damaged on this disk (${names.join(", ")}): ` +
      "fetch what is lost from the other side with  mirrorsync verify --repair  , or bring it back from a backup",
    sinceMs: Math.min(...damage.map(({ sinceMs }) => sinceMs)),
  };
}

function readDamage(store: Store): Damage[] {
  const fact = store.facts.get(FACT);
  return Array.isArray(fact)
    ? fact.filter(isDamage).filter((each) => expectedOf(store, each)?.stamp === each.stamp)
    : [];
}

function expectedOf(
  store: Store,
  { side, path, peer }: Pick<Damage, "side" | "path" | "peer">,
): Expected | null {
  const known = path as RelativePath; // it was a row's when it was found, and nothing but a row is looked for
  return side === "watched" ? expectedInWatched(store, known) : expectedInSynced(store, peer, known);
}

function isDamage(value: unknown): value is Damage {
  if (typeof value !== "object" || value === null) return false;
  const { side, path, peer, stamp, sinceMs } = value as Record<string, unknown>;
  return (side === "watched" || side === "synced") && typeof path === "string" && typeof stamp === "string" &&
    typeof peer === "number" && typeof sinceMs === "number";
}
