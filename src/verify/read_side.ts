import type { ChunkList } from "../chunks/chunk_list.ts";
import type { Clock, FileTree } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { Slices } from "../domain/slices.ts";
import type { Store } from "../store/store.ts";
import { allInSynced, allInWatched, type Expected, expectedInSynced, expectedInWatched } from "./expected.ts";
import { FindingList, type Report, type Tally } from "./finding.ts";
import { judge, type Judgement } from "./judge.ts";

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
 * Re-reads this side, and compares it with the database. Others get as much of the time as the reading does.
 *
 * @returns What was found, as far as it came when it was stopped.
 */
export async function readHere(parts: ReadParts, choice: Choice): Promise<Report> {
  const list = new FindingList();
  const tallies: Record<Expected["side"], Tally> = {
    watched: { files: 0, bytes: 0 },
    synced: { files: 0, bytes: 0 },
  };
  const slices = new Slices(parts.clock, () => true);
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
  const doubtful: (() => Expected | null)[] = [];
  for (const { expected, again } of chosen(parts.store, choice)) {
    if (parts.stopped()) break;
    const judgement = await judgeOne(expected);
    if (judgement === null) break;
    if (judgement.foundHash !== null) tallies[expected.side].files++;
    const mayPass = judgement.verdict === "changed" || judgement.verdict === "missing";
    if (mayPass && doubtful.length < MAX_SECOND_LOOKS) doubtful.push(again);
    else note(list, expected, judgement);
    if (slices.over) await slices.rest();
  }
  if (doubtful.length > 0 && !parts.stopped()) {
    await new Promise<void>((resolve) => parts.clock.after(SECOND_LOOK_MS, resolve));
  }
  for (const again of doubtful) {
    if (parts.stopped()) break;
    // A row that is gone was deleted meanwhile, as files are.
    const expected = again();
    const judgement = expected === null ? null : await judgeOne(expected);
    if (expected !== null && judgement !== null) note(list, expected, judgement);
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

/** A file to be read, and how to find out later what is remembered of it then. */
interface Chosen {
  readonly expected: Expected;
  readonly again: () => Expected | null;
}

function* chosen(store: Store, { peers, paths }: Choice): IterableIterator<Chosen> {
  const inWatched = (path: RelativePath) => expectedInWatched(store, path);
  if (paths === null) yield* withAgain(allInWatched(store), inWatched);
  else yield* askedFor(paths.watched, "watched", inWatched);
  for (const peer of peers) {
    const inSynced = (path: RelativePath) => expectedInSynced(store, peer, path);
    if (paths === null) yield* withAgain(allInSynced(store, peer), inSynced);
    else yield* askedFor(paths.synced, "synced", inSynced);
  }
}

type Find = (path: RelativePath) => Expected | null;

function* withAgain(all: Iterable<Expected>, find: Find): IterableIterator<Chosen> {
  for (const expected of all) yield { expected, again: () => find(expected.path) };
}

/** The paths that were asked for. One of which nothing is remembered is not passed over: whoever asks takes silence for good. */
function* askedFor(
  paths: readonly RelativePath[],
  side: Expected["side"],
  find: Find,
): IterableIterator<Chosen> {
  for (const path of paths) {
    const unknown: Expected = {
      ...{ side, path, diskPath: path, sizeBytes: 0, hash: null },
      isAsLeft: () => false,
    };
    const again = () => find(path) ?? unknown;
    yield { expected: again(), again };
  }
}
