/** A tree, or a subtree, with more files than this is guarded: its deletion at once waits for a word. */
export const GUARDED_FILES = 50;

/** What would be deleted of one folder at once. */
export interface MassDeletion {
  /** `""` is the root. */
  readonly folder: string;
  /** Files that would be deleted in it, or were a moment ago. */
  readonly deleted: number;
  /** Files that the peer holds in it, or held a moment ago. */
  readonly of: number;
}

/**
 * The folders of which more than half would be deleted at once, the topmost only.
 *
 * @param deleted How many files would be deleted below each folder (`""` is the root, and has to be there).
 * @param filesIn How many files the peer holds below a folder; need not count further than `limit`.
 */
export function massDeletions(
  deleted: ReadonlyMap<string, number>,
  filesIn: (folder: string, limit: number) => number,
): MassDeletion[] {
  const found: MassDeletion[] = [];
  const walk = [...deleted].filter(([, count]) => 2 * count > GUARDED_FILES)
    .sort(([a], [b]) => a < b ? -1 : 1);
  for (const [folder, count] of walk) {
    if (found.some((above) => above.folder === "" || folder.startsWith(`${above.folder}/`))) continue;
    const of = filesIn(folder, Math.max(2 * count, GUARDED_FILES + 1));
    if (of > GUARDED_FILES && 2 * count > of) found.push({ folder, deleted: count, of });
  }
  return found;
}

/** From when until when a file was there, the end excluded. */
export type Span = readonly [fromMs: number, toMs: number];

/** How many of these files were there together at most. */
export function mostTogether(spans: readonly Span[]): number {
  const steps = spans.flatMap(([from, to]) => from < to ? [[from, 1], [to, -1]] as const : []);
  steps.sort(([a, one], [b, other]) => a - b || one - other);
  let there = 0, most = 0;
  for (const [, step] of steps) most = Math.max(most, there += step);
  return most;
}
