import { type FileStat, type Observation, sameStat } from "../domain/observation.ts";

/** What drew attention to a path: an event of the watcher, a scan that found a fresh file, or the sender that read a changing one. */
export type Sign = "created" | "modified" | "closed" | "removed" | "renamed" | "scanned" | "asked";

/** The time by both clocks, in milliseconds. */
export interface Moment {
  readonly monotonic: number;
  readonly wall: number;
}

/** A path that something happened to and that was not taken up yet. Times are of the monotonic clock unless they say otherwise. */
export interface Unsettled {
  readonly sign: Sign;
  /** When it is to be looked at. */
  readonly dueAt: number;
  readonly firstAt: number;
  readonly lastAt: number;
  /** Wall time of the last event. */
  readonly lastWallMs: number;
  /** Wall time of the last event after which the content was complete. */
  readonly completeWallMs: number | null;
  /** A look found it being written: only a close, or rest, makes it worth another one. */
  readonly writing: boolean;
  /** What the last look showed. */
  readonly stat: FileStat | null;
}

/** Joins the events of one save, which come within a fraction of this. */
const JOIN_MS = 1;
/** Events that come in a row for a write (created, modified, closed) are here after this. */
const FOLLOW_UP_MS = 3;
/**
 * Between two looks at a file that appeared with content and without a write: a hard link, unless the news of a write is on its way
 * to us. On a busy machine that can take its time.
 */
const CONFIRM_MS = 25;
/** A file that is held open is taken when nothing was written for so long, … */
const OPEN_QUIET_MS = 2000;
/** … or when it was written for so long without such rest: a log that grows all day goes out in versions. */
const RESTLESS_MS = 10_000;
/** Rest where the system does not say when a file is closed. */
const QUIET_MS = 50;
/** A file that only a scan found is taken when its last write is so long ago. */
export const FRESH_MS = 100;
/** A write sets the mtime to the present: an mtime further before the event than this was not made by a write. */
const WRITE_WINDOW_MS = 1000;

/** Works a sign into what is known of a path. `tellsClose`: whether the system says when a file that was written is closed. */
export function notice(
  known: Unsettled | null,
  sign: Sign,
  now: Moment,
  tellsClose: boolean,
  delayMs = 0,
): Unsettled {
  const firstAt = known?.firstAt ?? now.monotonic;
  if (sign === "scanned" || sign === "asked") {
    // Whoever follows the events of a path knows more.
    if (known !== null) return known;
    return begin(sign, now, now.monotonic + (sign === "scanned" ? FRESH_MS : delayMs));
  }
  const complete = sign === "closed" || sign === "renamed" || sign === "removed";
  const next = {
    sign,
    firstAt,
    lastAt: now.monotonic,
    lastWallMs: now.wall,
    completeWallMs: complete ? now.wall : known?.completeWallMs ?? null,
    writing: complete || sign === "created" ? false : known?.writing ?? false,
    stat: known?.stat ?? null,
  };
  return { ...next, dueAt: dueAt(known, next, tellsClose) };
}

function begin(sign: Sign, now: Moment, dueAt: number): Unsettled {
  return {
    sign,
    dueAt,
    firstAt: now.monotonic,
    lastAt: now.monotonic,
    lastWallMs: now.wall,
    completeWallMs: null,
    writing: false,
    stat: null,
  };
}

function dueAt(known: Unsettled | null, next: Omit<Unsettled, "dueAt">, tellsClose: boolean): number {
  const now = next.lastAt;
  if (!tellsClose) {
    return next.sign === "removed"
      ? now + FOLLOW_UP_MS
      : Math.min(now + QUIET_MS, next.firstAt + RESTLESS_MS);
  }
  switch (next.sign) {
    case "created":
      return now + FOLLOW_UP_MS;
    case "modified":
      if (next.writing) return restAt(next);
      return known === null || known.sign === "scanned" || known.sign === "asked"
        ? now + FOLLOW_UP_MS
        : known.dueAt;
    default:
      return Math.min(known?.dueAt ?? Infinity, now + JOIN_MS);
  }
}

function restAt(of: Pick<Unsettled, "firstAt" | "lastAt">): number {
  return Math.min(of.lastAt + OPEN_QUIET_MS, of.firstAt + RESTLESS_MS);
}

/**
 * Decides at a look whether a file is taken up as it is: `null` means take it, else what to remember until the next look.
 *
 * @param row What was observed of the path before.
 */
export function judge(
  known: Unsettled,
  stat: FileStat,
  row: Observation | null,
  now: Moment,
  tellsClose: boolean,
): Unsettled | null {
  if (now.monotonic - known.firstAt >= RESTLESS_MS) return null;
  const rested = known.stat !== null && sameStat(known.stat, stat);
  if (known.sign === "scanned" || known.sign === "asked") {
    return rested || !isFresh(stat, now.wall, FRESH_MS) ? null : later(known, stat, now.monotonic + FRESH_MS);
  }
  if (!tellsClose) {
    return rested || !isFresh(stat, now.wall, QUIET_MS) ? null : later(known, stat, now.monotonic + QUIET_MS);
  }
  if (known.sign === "created") {
    if (!isOfWrite(stat, known, now.wall)) return null;
    // Empty: it was opened a moment ago, and what happens to it next brings an event.
    if (stat.sizeBytes === 0) return quietOrLater(known, stat, rested, now);
    return rested ? null : later(known, stat, now.monotonic + CONFIRM_MS);
  }
  if (known.sign !== "modified") return null;
  // `modified` tells of writes and of changed attributes alike.
  const attributesOnly = !isOfWrite(stat, known, now.wall) ||
    (row !== null && row.sizeBytes === stat.sizeBytes && row.mtimeMs === stat.mtimeMs &&
      row.inode === stat.inode) ||
    (known.completeWallMs !== null && stat.mtimeMs <= known.completeWallMs);
  return attributesOnly ? null : quietOrLater({ ...known, writing: true }, stat, rested, now);
}

function quietOrLater(known: Unsettled, stat: FileStat, rested: boolean, now: Moment): Unsettled | null {
  const quiet = now.monotonic - known.lastAt >= OPEN_QUIET_MS &&
    (rested || !isFresh(stat, now.wall, OPEN_QUIET_MS - FRESH_MS));
  if (quiet) return null;
  const at = restAt(known);
  // Past the quiet time, yet the stat moved without an event (a mapped file): wait for rest from now on.
  return later(
    known,
    stat,
    at > now.monotonic ? at : Math.min(now.monotonic + OPEN_QUIET_MS, known.firstAt + RESTLESS_MS),
  );
}

function later(known: Unsettled, stat: FileStat, dueAt: number): Unsettled {
  return { ...known, stat, dueAt };
}

/** Whether the last write was less than `ms` ago. A time in the future says nothing. */
export function isFresh(stat: FileStat, wallMs: number, ms: number): boolean {
  return stat.mtimeMs <= wallMs && wallMs - stat.mtimeMs < ms;
}

/** Whether the mtime can be that of the write which the last event told of, or of one since. */
function isOfWrite(stat: FileStat, known: Unsettled, wallMs: number): boolean {
  return stat.mtimeMs > known.lastWallMs - WRITE_WINDOW_MS && stat.mtimeMs <= wallMs + FRESH_MS;
}
