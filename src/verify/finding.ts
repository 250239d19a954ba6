import * as v from "valibot";

/** Which of a peer's two folders. */
export type Side = "watched" | "synced";

/**
 * What re-reading a file has shown. `damaged`: its stat is exactly what the database remembers, its content is not. `changed`:
 * the stat is another, so somebody is editing it. `unverified`: nothing is remembered yet that its content could be compared with.
 */
export type Verdict = "damaged" | "missing" | "unreadable" | "changed" | "unverified";

/** Bytes of a file: the first one, and the first one after them. */
export type ByteRange = readonly [from: number, to: number];

/** A file that is not known to be as it should be. */
export interface Finding {
  readonly side: Side;
  readonly path: string;
  readonly verdict: Verdict;
  readonly sizeBytes: number;
  /** Of what is damaged: where. */
  readonly ranges: readonly ByteRange[];
  /** What the system said, or what else a person should know. */
  readonly reason: string | null;
}

/** What was read of one side. */
export interface Tally {
  files: number;
  bytes: number;
}

/** What one peer has found on its own disk. */
export interface Report {
  readonly watched: Readonly<Tally>;
  readonly synced: Readonly<Tally>;
  readonly findings: readonly Finding[];
  /** Findings that found no room in the list. */
  readonly more: number;
}

/** Findings that a report lists; those that need nobody's attention have less room, so that they hide nothing. */
const MAX_FINDINGS = 10_000;
const MAX_HARMLESS = 1_000;
/** About so many bytes of JSON a report may have. */
const MAX_REPORT_BYTES = 16 * 1024 * 1024;
/** Ranges that are told of one file; past them the last one reaches to the end of the damage. */
const MAX_RANGES = 1_000;

/** Whether a finding means that something is wrong, not only under way. */
export function isBad({ verdict }: Pick<Finding, "verdict">): boolean {
  return verdict === "damaged" || verdict === "missing" || verdict === "unreadable";
}

/** Collects findings, within bounds. */
export class FindingList {
  readonly findings: Finding[] = [];
  more = 0;
  #harmless = 0;
  #bytes = 0;

  add(finding: Finding): void {
    const bytes = 200 + finding.path.length * 3 + (finding.reason?.length ?? 0) * 3 +
      finding.ranges.length * 36;
    const bad = isBad(finding);
    const full = this.findings.length >= MAX_FINDINGS || this.#bytes + bytes > MAX_REPORT_BYTES ||
      (!bad && this.#harmless >= MAX_HARMLESS);
    if (full) {
      this.more++;
      return;
    }
    if (!bad) this.#harmless++;
    this.#bytes += bytes;
    this.findings.push(finding);
  }
}

/** Collects ranges in their order; adjacent ones become one. */
export class RangeList {
  readonly ranges: ByteRange[] = [];

  add(from: number, to: number): void {
    const last = this.ranges.at(-1);
    if (last !== undefined && (last[1] === from || this.ranges.length >= MAX_RANGES)) {
      this.ranges[this.ranges.length - 1] = [last[0], to];
    } else this.ranges.push([from, to]);
  }
}

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const TALLY = v.object({ files: count, bytes: count });

/** The shape of a {@linkcode Finding} in JSON. */
export const FINDING = v.object({
  side: v.picklist(["watched", "synced"]),
  path: v.pipe(v.string(), v.maxLength(4096)),
  verdict: v.picklist(["damaged", "missing", "unreadable", "changed", "unverified"]),
  sizeBytes: count,
  ranges: v.pipe(v.array(v.tuple([count, count])), v.maxLength(MAX_RANGES)),
  reason: v.nullable(v.pipe(v.string(), v.maxLength(2000))),
});

const REPORT: v.GenericSchema<unknown, Report> = v.object({
  watched: TALLY,
  synced: TALLY,
  findings: v.pipe(v.array(FINDING), v.maxLength(MAX_FINDINGS)),
  more: count,
});

/** Reads a report that came from a peer; `null` when it is none. */
export function parseReport(value: unknown): Report | null {
  // The first thing that is wrong is enough: a list of all that is could fill the memory.
  const parsed = v.safeParse(REPORT, value, { abortEarly: true });
  return parsed.success ? parsed.output : null;
}
