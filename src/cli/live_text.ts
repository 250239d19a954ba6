import type { PeerLinkStatus, RunStatus, TransferStatus } from "../domain/status.ts";
import type { Colours } from "./output.ts";
import { speed } from "./speed_text.ts";
import { cutStart, displayWidth, escapeText, padTo, plural, showBytes, showPath } from "./text.ts";

/** A transfer gets a bar of its own once it has taken this long. */
export const BAR_AFTER_MS = 2000;
/** The most bars at once; what is more is counted. */
const MAX_BARS = 5;
const BAR_COLUMNS = 20;
/** Shorter than this a path says nothing. */
const MIN_PATH_COLUMNS = 10;

/** What the terminal allows. */
export interface View {
  readonly nowMs: number;
  readonly columns: number;
  readonly colours: Colours;
}

/**
 * The state of a run as a terminal shows it: one line (links, rate, pending, last file), and a bar for each transfer that takes
 * longer than {@linkcode BAR_AFTER_MS}. The same state gives the same text, so that nothing is redrawn when nothing changed.
 */
export function liveText(status: RunStatus, view: View): string {
  const slow = status.transfers.filter((t) => view.nowMs - t.startedMs > BAR_AFTER_MS);
  const lines = slow.slice(0, MAX_BARS).map((transfer) => bar(transfer, view));
  if (slow.length > MAX_BARS) lines.push(`  and ${plural(slow.length - MAX_BARS, "more file")}`);
  return [...lines, line(status, view)].join("\n");
}

/** Parts of a line, with the colour that each gets after the widths were reckoned. */
type Part = readonly [text: string, colour: (text: string) => string];

const SEPARATOR = " · ";

function line(status: RunStatus, { columns, colours }: View): string {
  const plain = (text: string) => text;
  const parts: Part[] = [...links(status.peers, colours)];
  const { sentPerSecond, receivedPerSecond } = status.rate;
  if (sentPerSecond > 0) parts.push([`↑ ${showBytes(sentPerSecond)}/s`, plain]);
  if (receivedPerSecond > 0) parts.push([`↓ ${showBytes(receivedPerSecond)}/s`, plain]);
  parts.push(...pending(status, colours));
  if (status.scan.running) parts.push(["scanning", colours.dim]);
  if (status.problems.length > 0) {
    parts.push([`${plural(status.problems.length, "problem")}: mirrorsync status`, colours.yellow]);
  }
  const fitting: Part[] = [];
  let width = 0;
  for (const part of parts) {
    const more = displayWidth(part[0]) + (fitting.length === 0 ? 0 : SEPARATOR.length);
    if (width + more > columns - 1) break;
    fitting.push(part);
    width += more;
  }
  const room = columns - 1 - width - SEPARATOR.length;
  if (status.lastPath !== null && room >= MIN_PATH_COLUMNS) {
    fitting.push([cutStart(showPath(status.lastPath), room), colours.dim]);
  }
  return fitting.map(([text, colour]) => colour(text)).join(colours.dim(SEPARATOR));
}

function links(peers: readonly PeerLinkStatus[], colours: Colours): Part[] {
  if (peers.length === 0) return [["no peer is trusted yet", colours.yellow]];
  if (peers.length > 3) {
    const up = peers.filter((peer) => peer.link === "up").length;
    return [[`${up} of ${peers.length} peers connected`, up > 0 ? colours.green : colours.yellow]];
  }
  return peers.map((peer) => {
    const name = escapeText(peer.name);
    if (peer.link === "up") return [`● ${name}`, colours.green];
    return [`○ ${name} ${peer.link === "connecting" ? "connecting" : "away"}`, colours.yellow];
  });
}

function pending(status: RunStatus, colours: Colours): Part[] {
  const total = { waiting: 0, refused: 0, held: 0, bytes: 0 };
  for (const peer of status.peers) {
    total.waiting += peer.pending.waiting;
    total.refused += peer.pending.refused;
    total.held += peer.pending.held;
    total.bytes += peer.pending.bytes;
  }
  const parts: Part[] = [];
  if (total.waiting > 0) {
    parts.push([`${total.waiting.toLocaleString("en")} pending (${showBytes(total.bytes)})`, (text) => text]);
  }
  if (total.refused > 0) parts.push([`${total.refused.toLocaleString("en")} refused`, colours.yellow]);
  if (total.held > 0) {
    parts.push([`${total.held.toLocaleString("en")} deletions wait to be confirmed`, colours.yellow]);
  }
  if (status.peers.length > 0 && status.peers.every((peer) => peer.inSync)) {
    parts.push(["in sync", colours.green]);
  }
  return parts;
}

function bar(transfer: TransferStatus, { columns, colours }: View): string {
  const { doneBytes, sizeBytes, direction, path } = transfer;
  const share = sizeBytes === 0 ? 1 : Math.min(1, doneBytes / sizeBytes);
  const filled = Math.round(share * BAR_COLUMNS);
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  const parts = [`${showBytes(doneBytes)} of ${showBytes(sizeBytes)}`, ...speed(transfer)];
  const numbers = padTo(`${percent}  ${parts.join(", ")}`, 40);
  const fixed = 2 + BAR_COLUMNS + displayWidth(numbers) + 2;
  const room = columns - 1 - fixed - 2;
  const name = room >= MIN_PATH_COLUMNS ? "  " + colours.dim(cutStart(showPath(path), room)) : "";
  const drawn = colours.cyan("█".repeat(filled)) + colours.dim("░".repeat(BAR_COLUMNS - filled));
  return `${direction === "sending" ? "↑" : "↓"} ${drawn} ${numbers}${name}`;
}
