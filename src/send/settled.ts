import { hooksOf } from "../chunks/hooks.ts";
import type { Action } from "../domain/header.ts";
import { isPermanentRefusal } from "../domain/mirror_error.ts";
import { isProvisional, isUnknown, type PathState, sameStat } from "../domain/observation.ts";
import { stepFor } from "../domain/plan.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { OPERATION_BACKOFF, retryDelayMs } from "../domain/retry.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { Reply } from "../link/link.ts";
import type { Store } from "../store/store.ts";
import type { Delivery } from "./deliver_file.ts";
import { replanPath } from "./pending_plan.ts";

/** What became of an operation, waiting to be recorded. */
export interface Settled {
  readonly path: RelativePath;
  readonly action: Action;
  /** Of a move: the path that the peer had it at before. */
  readonly movedFrom?: RelativePath;
  readonly id: string;
  /** What the peer now holds; `null` when it holds nothing. */
  readonly state: PathState | null;
  /** For a file whose content was read: the stat and hash that belong together, and when it was read. */
  readonly read: Delivery["read"];
  readonly reply: Pick<Reply, "status" | "code" | "message">;
  readonly wireBytes: number;
  /** Nothing travelled: the peer had it already. */
  readonly silent: boolean;
  /** How the version is cut into chunks, if that was found out. */
  readonly chunks: Uint8Array | null;
  /** The peer was asked to make it of what it has. */
  readonly offered?: true;
}

/** A deletion that was not sent, because the path is still there. */
export const STILL_THERE = {
  status: "error",
  code: "changed_while_reading",
  message: "it is still there",
} as const;

const NOTHING: ReadonlySet<RelativePath> = new Set();

/** Between whom the operations travel. */
export interface Route {
  readonly store: Store;
  readonly peer: { readonly number: number; readonly name: string };
  /** The name that operations carry as their sender. */
  readonly name: string;
}

/**
 * Records an acknowledgement; to be called in a transaction.
 *
 * @returns Whether the path is still pending, because it changed meanwhile.
 */
export function recordAck({ store, peer, name }: Route, settled: Settled, nowMs: number): boolean {
  const { path, state, read, movedFrom } = settled;
  const touched = movedFrom === undefined ? NOTHING : recordMove(store, peer.number, movedFrom, path);
  if (movedFrom === undefined && settled.action !== "create") {
    noteDeparture(store, peer.number, settled, nowMs);
  }
  if (state === null) store.acked.remove(peer.number, path);
  else store.acked.put(peer.number, path, state, nowMs);
  if (settled.chunks !== null && state !== null) {
    store.chunkLists.put(state.hash, settled.chunks, hooksOf(settled.chunks), nowMs);
  }
  if (!settled.silent) logSent({ store, peer, name }, settled, nowMs);
  const provisional = read !== null && isProvisional(read.stat, read.atMs);
  // Nearly always the observation is still the one that was sent: then one statement finds that out and records its hash.
  const simple = read !== null && state !== null && movedFrom === undefined;
  if (simple && store.observed.confirm(path, state, read.stat, provisional)) {
    store.pending.remove(peer.number, path);
    return false;
  }
  let observed = store.observed.get(path);
  if (read !== null && observed !== null && sameStat(observed, read.stat)) {
    store.observed.setHash(path, read.hash, provisional);
    observed = { ...observed, hash: read.hash, provisional };
  }
  const step = stepFor(observed, state);
  if (step === null) store.pending.remove(peer.number, path);
  else replanPath(store, peer.number, path, nowMs);
  for (const other of touched) replanPath(store, peer.number, other, nowMs);
  return step !== null || touched.size > 0;
}

/** What the peer had is in its trash now, if it has one; and what was deleted counts for a while. */
function noteDeparture(store: Store, peer: number, { path, action, state }: Settled, nowMs: number): void {
  const had = store.acked.get(peer, path);
  if (had === null || isUnknown(had) || had.hash === state?.hash) return;
  const counts = action === "delete" && had.kind === "file" && store.pending.countsAsDeletion(peer, path);
  store.departed.add(peer, path, had, counts, nowMs);
}

/**
 * What the peer had below the old path it has below the new one.
 *
 * @returns The paths whose rows in `pending` have to be worked out again.
 */
function recordMove(store: Store, peer: number, from: RelativePath, path: RelativePath): Set<RelativePath> {
  store.acked.moveFolder(peer, from, path);
  const below = [
    ...store.observed.below(path),
    ...store.acked.below(peer, path),
    ...store.observed.below(from),
  ].map((each) => each.path);
  return new Set([from, ...below, ...store.pending.below(peer, from), ...store.pending.below(peer, path)]);
}

/** Records why an operation failed, for its path and for those that waited for it; to be called in a transaction. */
export function recordFailure(
  { store, peer, name }: Route,
  settled: Settled,
  waitingForIt: readonly RelativePath[],
  nowMs: number,
  random: () => number,
): void {
  const { path, reply } = settled;
  const still = reply === STILL_THERE;
  if (still) {
    // It may have been seen meanwhile, and then it has a row of its own.
    if (store.observed.get(path) === null) store.pending.remove(peer.number, path);
    else replanPath(store, peer.number, path, nowMs);
  }
  // A step on the way (what was in the way could not be deleted) may have no row of its own: the path that waits has one.
  const others = settled.action === "delete" ? waitingForIt.filter((waiting) => waiting !== path) : [];
  for (const failed of still ? others : [path, ...others]) {
    const row = store.pending.get(peer.number, failed);
    // It was deleted meanwhile: that an older state could not be sent says nothing of the deletion.
    if (failed === path && settled.action !== "delete" && row?.action === "delete") continue;
    const attempts = (row?.attempts ?? 0) + 1;
    const retryMs = isPermanentRefusal(reply.code)
      ? null
      : nowMs + retryDelayMs(OPERATION_BACKOFF, attempts, random());
    store.pending.fail(peer.number, failed, reply.code, reply.message, retryMs);
  }
  if (!settled.silent) logSent({ store, peer, name }, settled, nowMs);
}

function logSent({ store, peer, name }: Route, settled: Settled, nowMs: number): void {
  const { state, reply } = settled;
  store.log.add({
    atMs: nowMs,
    id: settled.id,
    direction: "sent",
    action: settled.action,
    path: settled.path,
    from: settled.movedFrom ?? null,
    sizeBytes: state?.sizeBytes ?? 0,
    hash: state === null || state.hash === "" ? null : state.hash,
    timestamp: state === null || state.kind === "folder" ? null : formatTimestamp(state.mtimeMs),
    sender: name,
    peer: peer.name,
    status: reply.status,
    code: reply.status === "ok" ? null : reply.code,
    error: reply.status === "ok" ? null : reply.message,
    wireBytes: settled.wireBytes,
  });
}
