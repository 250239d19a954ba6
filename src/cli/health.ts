import type { StatusReport } from "./status_text.ts";
import { showBytes, showDuration, showPath } from "./text.ts";

/** One part of a peer, and how it is doing. */
export interface Check {
  readonly part: string;
  /** `warning`: it works, and somebody should look at it. */
  readonly state: "ok" | "warning" | "failed";
  /** What was found, in one line. */
  readonly found: string;
  /** What to do; `null` when nothing is to be done. */
  readonly todo: string | null;
}

export function ok(part: string, found: string): Check {
  return { part, state: "ok", found, todo: null };
}

export function warning(part: string, found: string, todo: string): Check {
  return { part, state: "warning", found, todo };
}

export function failed(part: string, found: string, todo: string): Check {
  return { part, state: "failed", found, todo };
}

/** With less room than this a disk is about to be full; the program itself leaves 16 MiB free. */
const LOW_BYTES = 256 * 1024 * 1024;
const FULL_BYTES = 32 * 1024 * 1024;
/** A write-ahead log of this size is not being worked in: some other program reads the database for hours. */
const LARGE_WAL_BYTES = 256 * 1024 * 1024;
/** Clocks that differ by more than this make times in logs and in `restore --at` hard to compare. */
const CLOCK_MS = 60_000;
/** A watched folder that was not looked through for so many scan intervals. */
const SCAN_INTERVALS = 3;
/** Until then it is no wonder that the first scan has not begun. */
const FIRST_SCAN_MS = 10_000;

/** What is looked at of a home: sizes in bytes, `null` where they are not known. */
export interface HomeFacts {
  readonly freeBytes: {
    readonly watched: number | null;
    readonly synced: number | null;
    readonly home: number | null;
  };
  readonly databaseBytes: number;
  readonly walBytes: number;
  readonly scanIntervalMs: number;
  readonly nowMs: number;
}

/** How everything is doing, as far as the running process and a few quick looks tell. */
export function healthOf(s: Omit<StatusReport, "health">, facts: HomeFacts): Check[] {
  return [
    ...linkChecks(s),
    ...diskChecks(s, facts),
    watcherCheck(s),
    scanCheck(s, facts),
    databaseCheck(facts),
    ...clockChecks(s),
  ];
}

function linkChecks({ running, peers, pending }: Omit<StatusReport, "health">): Check[] {
  if (!running) {
    return [failed("link", "mirrorsync is not running here", "start it with `mirrorsync run`")];
  }
  if (peers.length === 0) return [warning("link", "no peer is trusted yet", "pair with `mirrorsync invite`")];
  return peers.map((peer) => {
    if (peer.link === "up") return ok("link", `connected with ${peer.name}`);
    const found = `no link with ${peer.name}${peer.reason === null ? "" : `: ${peer.reason}`}`;
    const waits = pending.waiting > 0 ? "; what is pending waits until then" : "";
    return warning(
      "link",
      found,
      `see that ${peer.name} runs and can be reached (\`mirrorsync doctor\` tries it)${waits}`,
    );
  });
}

/** Whether there is room, for each folder. */
export function diskChecks(
  { watched, synced, home }: Pick<StatusReport, "watched" | "synced" | "home">,
  { freeBytes }: HomeFacts,
): Check[] {
  const places = [["watched", watched], ["synced", synced], ["home", home]] as const;
  return places.flatMap(([name, path]) => {
    if (path === null) return [];
    const free = freeBytes[name];
    const where = `the disk of ${name} (${showPath(path)})`;
    if (free === null) {
      return [failed("disk", `${where} cannot be looked at`, "mount it, or make the folder again")];
    }
    // Nothing is written there: how full it is concerns its owner.
    if (name === "watched") return [ok("disk", `${where} can be looked at`)];
    const has = `${where} has ${showBytes(free)} free`;
    if (free < FULL_BYTES) {
      return [failed("disk", has, "make room: nothing more is taken until there is some")];
    }
    return [free < LOW_BYTES ? warning("disk", has, "make room before it is full") : ok("disk", has)];
  });
}

function watcherCheck({ running, watcher, problems }: Omit<StatusReport, "health">): Check {
  if (!running || watcher === null) return ok("watcher", "not running");
  if (watcher === "watching") return ok("watcher", "changes are noticed at once");
  if (watcher === "starting") return ok("watcher", "it is starting");
  const why = problems.find(({ code }) => code === "watcher")?.message;
  return warning(
    "watcher",
    `the watcher is off: changes are found by scans, every few seconds${
      why === undefined ? "" : ` (${why})`
    }`,
    why === undefined
      ? "if the folder is there and can be read, it is the system's limit on watched folders: `mirrorsync doctor` looks"
      : "see to that (`mirrorsync doctor` looks more closely)",
  );
}

function scanCheck(
  { running, started, scan }: Omit<StatusReport, "health">,
  { scanIntervalMs, nowMs }: HomeFacts,
): Check {
  if (!running) return ok("scan", "not running");
  if (scan.running) return ok("scan", "watched/ is being looked through now");
  if (scan.last === null) {
    const isNew = started !== null && nowMs - Date.parse(started) < FIRST_SCAN_MS;
    if (isNew) return ok("scan", "watched/ is looked through for the first time");
    return warning(
      "scan",
      "watched/ was not looked through yet",
      "see that the folder is there and can be read",
    );
  }
  const agoMs = nowMs - Date.parse(scan.last);
  const took = scan.lastTookMs === null ? "" : `, took ${showDuration(scan.lastTookMs)}`;
  const found = `watched/ was last looked through ${showDuration(Math.max(0, agoMs))} ago${took}`;
  if (agoMs < SCAN_INTERVALS * scanIntervalMs + 2 * (scan.lastTookMs ?? 0)) return ok("scan", found);
  return warning(
    "scan",
    found,
    "see that the folder is there and can be read; if it is, start mirrorsync again",
  );
}

/** Whether the database's files are of a usual size. */
export function databaseCheck({ databaseBytes, walBytes }: HomeFacts): Check {
  const found = `${showBytes(databaseBytes)}, and ${showBytes(walBytes)} in its write-ahead log`;
  if (walBytes < LARGE_WAL_BYTES) return ok("database", found);
  return warning(
    "database",
    found,
    "another program may have the database open for reading: close it, and the log shrinks by itself",
  );
}

function clockChecks({ peers }: Omit<StatusReport, "health">): Check[] {
  return peers.flatMap(({ name, clockAheadMs }) => {
    if (clockAheadMs === null) return [];
    const length = showDuration(Math.abs(clockAheadMs));
    const found = Math.abs(clockAheadMs) < 1000
      ? `the clocks here and on ${name} agree`
      : `the clock of ${name} is ${length} ${clockAheadMs > 0 ? "ahead of" : "behind"} this one`;
    if (Math.abs(clockAheadMs) < CLOCK_MS) return [ok("clock", found)];
    return [
      warning(
        "clock",
        found,
        "set both by the network's time: nothing is decided by it here, but times of files, of logs and of certificates are",
      ),
    ];
  });
}

/** How large a file is; 0 when it is not there. */
export async function sizeOf(path: string): Promise<number> {
  try {
    return (await Deno.stat(path)).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}
