import type { Check } from "./health.ts";
import type { Home } from "./home.ts";
import type { Colours } from "./output.ts";
import { speed } from "./speed_text.ts";
import { escapeText, plural, showBytes, showDuration, showPath, showTime, table } from "./text.ts";

/** What waits for a peer: paths, refused paths, bytes of the waiting ones. */
interface PendingCount {
  readonly waiting: number;
  readonly refused: number;
  /** Deletions that wait for `confirm`. */
  readonly held: number;
  readonly bytes: number;
}

/** Files, folders and bytes below a root. */
interface TreeCount {
  readonly files: number;
  readonly folders: number;
  readonly bytes: number;
}

/** The state of one trusted peer in {@linkcode StatusReport}. */
export interface PeerReport {
  readonly name: string;
  readonly fingerprint: string;
  readonly address: string | null;
  readonly link: "up" | "connecting" | "down";
  readonly protocol: "full" | "plain" | null;
  readonly remoteAddress: string | null;
  /** Since when the link has been in this state. */
  readonly since: string | null;
  readonly reason: string | null;
  readonly lastSeen: string | null;
  readonly pending: PendingCount;
  /** By how much the peer's clock is ahead of this one's, in whole seconds; `null` when it is not known. */
  readonly clockAheadMs: number | null;
  /** `null` while nothing runs that could know. */
  readonly inSync: boolean | null;
}

/** What `status --json` prints. Times are RFC 3339 in UTC; `null` is what is not known. */
export interface StatusReport {
  readonly running: boolean;
  readonly pid: number | null;
  readonly started: string | null;
  readonly name: string;
  readonly fingerprint: string;
  readonly home: string;
  readonly listen: string | null;
  readonly watched: string | null;
  readonly synced: string | null;
  /** `held`: paths that are ignored or could not be read, and stay on the peer as they were. */
  readonly counts: { readonly watched: TreeCount; readonly synced: TreeCount; readonly held: number };
  readonly peers: readonly PeerReport[];
  readonly pending: PendingCount;
  readonly transfers: readonly {
    readonly direction: "sending" | "receiving";
    readonly peer: string;
    readonly path: string;
    readonly doneBytes: number;
    readonly sizeBytes: number;
    readonly started: string;
    /** Bytes of the file a second, over the last few seconds. */
    readonly bytesPerSecond: number | null;
    readonly leftMs: number | null;
  }[];
  /** Bytes a second that may be sent, and as many received; `null` without a limit, or while nothing runs. */
  readonly limitBytesPerSecond: number | null;
  readonly rate: { readonly sentPerSecond: number; readonly receivedPerSecond: number };
  readonly total: {
    readonly sentBytes: number;
    readonly receivedBytes: number;
    readonly sent: number;
    readonly received: number;
  } | null;
  readonly watcher: "watching" | "scanning" | "starting" | null;
  /** How each part is doing, with what to do. */
  readonly health: readonly Check[];
  /** What peers have deleted or replaced here and `restore` can bring back. */
  readonly trash: {
    readonly files: number;
    readonly folders: number;
    readonly bytes: number;
    readonly oldest: string | null;
  };
  readonly scan: {
    readonly running: boolean;
    readonly last: string | null;
    readonly lastTookMs: number | null;
  };
  readonly skipped: readonly {
    readonly path: string;
    readonly reason: string;
    readonly message: string;
    readonly since: string;
  }[];
  readonly problems: readonly {
    readonly code: string;
    readonly message: string;
    readonly since: string | null;
  }[];
}

/** How many paths that are not sent are named; `--json` names all. */
const SHOWN_SKIPPED = 20;

/**
 * The state as lines for a person: what is, link by link, what is not sent, and at the end what is to be done.
 *
 * @param run The command that starts it, as the user would type it.
 */
export function statusLines(
  s: StatusReport,
  home: Pick<Home, "command">,
  run: string,
  colours: Colours,
): string[] {
  const state = s.running
    ? colours.green("running") +
      (s.pid === null
        ? ""
        : ` (process ${s.pid}${s.started === null ? "" : `, since ${seconds(s.started)}`})`)
    : colours.yellow("not running");
  const lines = [
    `${colours.bold(escapeText(s.name))} is ${state}`,
    ...table([
      ["home", showPath(s.home)],
      ["watched", folder(s.watched, s.counts.watched)],
      ["synced", folder(s.synced, s.counts.synced)],
      ["listen", s.listen ?? "port 22600 on every address"],
      ...(s.running ? [["scan", scan(s)]] : []),
      ["pending", pendingText(s.pending)],
      ...(s.trash.files === 0
        ? []
        : [["trash", `${plural(s.trash.files, "file")} (${showBytes(s.trash.bytes)})`]]),
      ["health", healthText(s.health)],
      ...(s.limitBytesPerSecond === null
        ? []
        : [["limit", `${showBytes(s.limitBytesPerSecond)}/s in each direction`]]),
    ], "  "),
  ];
  if (s.peers.length > 0) {
    lines.push("", colours.bold("Peers"));
    lines.push(
      ...table(s.peers.map((peer) => [escapeText(peer.name), linkText(peer, colours), peerText(peer)]), "  "),
    );
  }
  if (s.transfers.length > 0) {
    lines.push("", colours.bold("On their way"));
    lines.push(...table(
      s.transfers.map((t) => [
        t.direction === "sending" ? `→ ${escapeText(t.peer)}` : `← ${escapeText(t.peer)}`,
        `${showBytes(t.doneBytes)} of ${showBytes(t.sizeBytes)}`,
        speed(t).join(", "),
        showPath(t.path),
      ]),
      "  ",
    ));
  }
  if (s.skipped.length > 0) {
    lines.push("", `${colours.bold("Not sent")} (${plural(s.skipped.length, "path")})`);
    for (const { path, message } of s.skipped.slice(0, SHOWN_SKIPPED)) {
      const shown = showPath(path);
      lines.push(
        `  ${
          message.includes(path) && shown === path ? escapeText(message) : `${shown}: ${escapeText(message)}`
        }`,
      );
    }
    const more = s.skipped.length - SHOWN_SKIPPED;
    if (more > 0) {
      lines.push(`  and ${plural(more, "more", "more")}: ${home.command("status --json")} names them all`);
    }
  }
  const todo = advice(s, home, run);
  if (todo.length > 0) {
    lines.push("", colours.bold("To do"), ...todo.map((line) => `  ${colours.yellow("!")} ${line}`));
  }
  return lines;
}

/** What needs a person, each with the way out. */
function advice(s: StatusReport, home: Pick<Home, "command">, run: string): string[] {
  const todo = s.problems.map((problem) => escapeText(problem.message));
  if (s.peers.length === 0) {
    todo.push(`no peer is trusted yet: ${home.command("invite")}`);
  }
  if (s.pending.refused > 0) {
    todo.push(
      `${plural(s.pending.refused, "path was", "paths were")} refused: ${
        home.command("pending")
      } says why; ` +
        `${home.command("pending retry")} tries again`,
    );
  }
  // What else says the same does not say it twice.
  for (const { part, state, found, todo: what } of s.health) {
    if (state !== "ok" && part !== "link" && what !== null) todo.push(escapeText(`${found}: ${what}`));
  }
  if (!s.running) todo.push(`nothing is mirrored while it does not run: ${run}`);
  return todo;
}

function folder(path: string | null, { files, folders, bytes }: TreeCount): string {
  if (path === null) return "not set";
  return `${showPath(path)}  (${plural(files, "file")}, ${plural(folders, "folder")}, ${showBytes(bytes)})`;
}

function scan(s: StatusReport): string {
  const took = s.scan.lastTookMs === null ? "" : `, took ${showDuration(s.scan.lastTookMs)}`;
  const last = s.scan.last === null ? "none finished yet" : `last ${seconds(s.scan.last)}${took}`;
  const now = s.scan.running
    ? "; one is running"
    : s.watcher === "scanning"
    ? "; the watcher is off, changes are found by scans only"
    : "";
  return last + now;
}

function pendingText({ waiting, refused, held, bytes }: PendingCount): string {
  if (waiting + refused + held === 0) return "nothing";
  const parts = [];
  if (waiting > 0) parts.push(`${plural(waiting, "path")} (${showBytes(bytes)})`);
  if (refused > 0) parts.push(`${refused.toLocaleString("en")} refused`);
  if (held > 0) parts.push(`${plural(held, "deletion")} to be confirmed`);
  return parts.join(", ");
}

/** The parts, or those that are not well. */
function healthText(health: readonly Check[]): string {
  const parts = [...new Set(health.map(({ part }) => part))];
  const bad = parts.filter((part) => health.some((check) => check.part === part && check.state !== "ok"));
  if (bad.length === 0) return `${parts.join(", ")}: all well`;
  return `${bad.join(", ")}: see below${bad.length < parts.length ? "; the rest is well" : ""}`;
}

function linkText(peer: PeerReport, colours: Colours): string {
  if (peer.link === "up") {
    const plain = peer.protocol === "plain" ? ", plain protocol" : "";
    return colours.green(
      `connected${peer.remoteAddress === null ? "" : ` to ${peer.remoteAddress}`}${plain}`,
    );
  }
  return colours.yellow(peer.link === "connecting" ? "connecting" : "not connected");
}

function peerText(peer: PeerReport): string {
  const parts = [];
  if (peer.inSync === true) parts.push("in sync");
  else if (peer.pending.waiting + peer.pending.refused + peer.pending.held > 0) {
    parts.push(`pending: ${pendingText(peer.pending)}`);
  } else if (peer.link === "up") parts.push("comparing");
  if (peer.link !== "up") {
    if (peer.reason !== null) parts.push(escapeText(peer.reason));
    parts.push(peer.lastSeen === null ? "never seen" : `last seen ${seconds(peer.lastSeen)}`);
  }
  return parts.join("; ");
}

function seconds(time: string): string {
  return showTime(Date.parse(time));
}
