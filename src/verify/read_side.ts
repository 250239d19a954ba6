import type { ChunkList } from "../chunks/chunk_list.ts";
import type { Clock, FileTree } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { Store } from "../store/store.ts";
import { allInSynced, allInWatched, type Expected, expectedInSynced, expectedInWatched } from "./expected.ts";
import { type Finding, FindingList, type Report, type Side, type Tally } from "./finding.ts";
import { judge, type Judgement } from "./judge.ts";
import { noteDamage } from "./known_damage.ts";

/** What did not fit is looked at once more after this: mostly it was being saved, or deleted. */
const SECOND_LOOK_MS = 1_000;
/** Files that are looked at once more. */
const MAX_SECOND_LOOKS = 1_000;

export interface ReadParts {
  readonly store: Store;
  readonly watched: FileTree;
  readonly synced: FileTree;
  readonly clock: Clock;
  readonly stopped: () => boolean;
  /** Told of every file that was read, and of bytes in between. */
  readonly onProgress: (done: Readonly<Tally>) => void;
  /** How the version with this SHA-256 is cut; `null` when nobody knows. */
  readonly listFor: (hash: string) => Promise<ChunkList | null>;
}

/** What is to be read: everything, or some paths. */
export interface Choice {
  /** The peers whose files in `synced/` are read. */
  readonly peers: readonly number[];
  /** `null`: all there are. */
  readonly paths:
    | { readonly watched: readonly RelativePath[]; readonly synced: readonly RelativePath[] }
    | null;
}

/** Bytes that reading everything will read, as far as the database knows. */
export function bytesToRead(store: Store): number {
  return store.observed.count().bytes + store.synced.count().bytes;
}

/**
 * Re-reads this side, and compares it with the database. Others get as much of the time as the reading does. What is damaged is
 * remembered for `status`.
 *
 * @returns What was found, as far as it came when it was stopped.
 */
export async function readHere(parts: ReadParts, choice: Choice): Promise<Report> {
  const list = new FindingList();
  const tallies: Record<Expected["side"], Tally> = {
    watched: { files: 0, bytes: 0 },
    synced: { files: 0, bytes: 0 },
  };
  const slices = new Slices(parts.clock, () => 1);
  const judgeOne = (expected: Expected) =>
    judge({
      tree: parts[expected.side],
      slices,
      stopped: parts.stopped,
      listFor: parts.listFor,
      onRead: (bytes) => {
        tallies[expected.side].bytes += bytes;
        parts.onProgress(sum(tallies.watched, tallies.synced));
      },
    }, expected);
  const doubtful: Chosen[] = [];
  for (const one of chosen(parts.store, choice)) {
    if (parts.stopped()) break;
    const expected = one.expected();
    if (expected === null) {
      if (choice.paths !== null) list.add(unknown(one));
      continue;
    }
    const judgement = await judgeOne(expected);
    if (judgement === null) break;
    if (judgement.foundHash !== null) tallies[expected.side].files++;
    const mayPass = judgement.verdict === "changed" || judgement.verdict === "missing";
    if (mayPass && doubtful.length < MAX_SECOND_LOOKS) doubtful.push(one);
    else note(list, expected, judgement);
    if (slices.over) await slices.rest();
  }
  if (doubtful.length > 0 && !parts.stopped()) {
    await new Promise<void>((resolve) => parts.clock.after(SECOND_LOOK_MS, resolve));
  }
  for (const one of doubtful) {
    if (parts.stopped()) break;
    const expected = one.expected();
    const judgement = expected === null ? null : await judgeOne(expected);
    if (expected !== null && judgement !== null) note(list, expected, judgement);
    // A row that is gone was deleted meanwhile, as files are; but whoever asks for a path takes silence for good.
    else if (expected === null && choice.paths !== null) list.add(unknown(one));
  }
  if (choice.paths === null && !parts.stopped()) {
    noteDamage(parts.store, list.findings, choice.peers, parts.clock.now());
  }
  return { ...tallies, findings: list.findings, more: list.more };
}

function note(list: FindingList, { side, path, sizeBytes }: Expected, judgement: Judgement): void {
  const { verdict, ranges, reason } = judgement;
  if (verdict !== "good") list.add({ side, path, verdict, sizeBytes, ranges, reason });
}

function sum(a: Tally, b: Tally): Tally {
  return { files: a.files + b.files, bytes: a.bytes + b.bytes };
}

/** A path of which nothing is remembered. The disk is not even looked at: what lies there is not the business of whoever asks. */
function unknown({ side, path }: Chosen): Finding {
  return { side, path, verdict: "missing", sizeBytes: 0, ranges: [], reason: null };
}

/** A file to be read. */
interface Chosen {
  readonly side: Side;
  readonly path: RelativePath;
  /** What is remembered of it at this moment. */
  readonly expected: () => Expected | null;
}

function* chosen(store: Store, { peers, paths }: Choice): IterableIterator<Chosen> {
  for (const path of paths?.watched ?? pathsOf(allInWatched(store))) {
    yield { side: "watched", path, expected: () => expectedInWatched(store, path) };
  }
  for (const peer of peers) {
    for (const path of paths?.synced ?? pathsOf(allInSynced(store, peer))) {
      yield { side: "synced", path, expected: () => expectedInSynced(store, peer, path) };
    }
  }
}

function* pathsOf(all: Iterable<Expected>): IterableIterator<RelativePath> {
  for (const { path } of all) yield path;
}
