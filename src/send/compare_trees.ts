import { MirrorError } from "../domain/mirror_error.ts";
import type { Random } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { type Observation, type PathState, sameState } from "../domain/observation.ts";
import { formatTimestamp } from "../domain/timestamp.ts";
import type { Link } from "../link/link.ts";
import type { Store } from "../store/store.ts";
import {
  bucketOf,
  BUCKETS,
  differingBuckets,
  DIGEST_BYTES,
  parseListing,
  rootDigest,
  treeDigests,
  type TreeEntry,
} from "../wire/tree_digest.ts";
import { replanPath } from "./pending_plan.ts";

/** Entries that one listing may have: far below what an answer may be long. */
const ENTRIES_PER_LISTING = 100_000;

/**
 * Compares what we believe the peer has with what it has: first a digest, then the entries of the buckets that differ. What the
 * peer says takes the place of what we believed, so whatever is missing or too much there is pending afterwards. This mends a lost
 * ack, a restored database on either side, and a `synced/` that somebody emptied.
 *
 * Nothing may be on its way to the peer meanwhile.
 *
 * @returns The paths whose acknowledged state was corrected.
 */
export async function compareTrees(
  parts: { store: Store; link: Link; random: Random; now: () => number },
): Promise<RelativePath[]> {
  const { store, link, random } = parts;
  const peer = link.peer.number;
  const asKept = link.has("modes") ? same : withoutMode;
  const ours = treeDigests(map(store.acked.each(peer), asKept));
  const answer = await ask(link, { id: random.uuid(), action: "tree", digest: rootDigest(ours) });
  if (answer.header["same"] === true) return [];
  if (answer.content.length !== BUCKETS * DIGEST_BYTES) {
    throw new MirrorError("bad_content", "the peer's digests of its tree have the wrong length");
  }
  const differing = differingBuckets(ours, answer.content);
  const count = typeof answer.header["count"] === "number" ? answer.header["count"] : 0;
  const share = Math.max(1, Math.floor(BUCKETS * ENTRIES_PER_LISTING / Math.max(1, count)));
  const corrected: RelativePath[] = [];
  for (let from = 0; from < differing.length; from += share) {
    const buckets = differing.slice(from, from + share);
    const listing = await ask(link, { id: random.uuid(), action: "tree_buckets", buckets });
    corrected.push(...takeListing(store, link.peer, new Set(buckets), listing.content, asKept, parts.now()));
  }
  return corrected;
}

/** What a peer that knows no executable bit keeps of an entry. */
function withoutMode({ path, state }: TreeEntry): TreeEntry {
  return { path, state: { ...state, executable: false } };
}

function same(entry: TreeEntry): TreeEntry {
  return entry;
}

function* map<T>(items: Iterable<T>, change: (item: T) => T): IterableIterator<T> {
  for (const item of items) yield change(item);
}

async function ask(link: Link, request: { readonly id: string } & Readonly<Record<string, unknown>>) {
  const reply = await link.request("control", request);
  if (reply.status === "ok") return reply;
  throw new MirrorError("failed", `the peer could not compare its tree: ${reply.message}`);
}

function takeListing(
  store: Store,
  peer: { readonly number: number; readonly name: string },
  buckets: ReadonlySet<number>,
  content: Uint8Array,
  asKept: (entry: TreeEntry) => TreeEntry,
  nowMs: number,
): RelativePath[] {
  const theirs = new Map(parseListing(content).map(({ path, state }) => [path, state]));
  const corrected: RelativePath[] = [];
  store.transaction(() => {
    for (const { path, state } of [...store.acked.each(peer.number)]) {
      if (!buckets.has(bucketOf(path))) continue;
      const has = theirs.get(path);
      if (has !== undefined && sameState(has, asKept({ path, state }).state)) theirs.delete(path);
      else if (has === undefined) {
        store.acked.remove(peer.number, path);
        corrected.push(path);
      }
    }
    for (const [path, state] of theirs) {
      store.acked.put(peer.number, path, state);
      corrected.push(path);
    }
    for (const path of corrected) {
      const state = theirs.get(path);
      replanPath(store, peer.number, path, nowMs);
      // It is here just so although no ack is known: the ack was lost with its link, and with it the row in the log.
      if (state !== undefined && looksLike(store.observed.get(path), state)) {
        noteFound(store, peer, path, state, nowMs);
      }
    }
  });
  return corrected;
}

/** As far as it can be told without reading the file: its hash is known only with an ack. */
function looksLike(observed: Observation | null, state: PathState): boolean {
  if (observed?.kind !== state.kind || (observed.hash !== null && observed.hash !== state.hash)) return false;
  return state.kind === "folder" ||
    (observed.sizeBytes === state.sizeBytes && observed.mtimeMs === state.mtimeMs);
}

function noteFound(
  store: Store,
  peer: { readonly name: string },
  path: RelativePath,
  state: PathState,
  nowMs: number,
): void {
  store.log.add({
    atMs: nowMs,
    id: null,
    direction: "sent",
    action: "create",
    path,
    sizeBytes: state.sizeBytes,
    hash: state.hash === "" ? null : state.hash,
    timestamp: state.kind === "folder" ? null : formatTimestamp(state.mtimeMs),
    sender: null,
    peer: peer.name,
    status: "ok",
    code: null,
    error: null,
    wireBytes: 0,
  });
}
