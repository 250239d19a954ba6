import type { RunStatus } from "../domain/status.ts";
import type { OnceResult } from "../peer/once.ts";
import type { Home } from "./home.ts";
import type { PendingRow } from "./pending.ts";
import { escapeText, plural, showBytes, showPath } from "./text.ts";

/** How many of the paths that are left are named. */
const SHOWN_LEFT = 5;

/**
 * How a run with `--once` ended, in lines.
 *
 * @param rows Some of what is left.
 */
export function onceReport(
  result: OnceResult,
  last: RunStatus,
  rows: readonly PendingRow[],
  home: Pick<Home, "command">,
): string[] {
  const problem = result.problem === null ? [] : [`not everything was done: ${escapeText(result.problem)}`];
  const others = last.problems.filter(({ message }) => message !== result.problem);
  const left = result.left > 0
    ? [
      ...problem,
      ...others.map(({ message }) => escapeText(message)),
      `${plural(result.left, "path")} not delivered:`,
      ...leftLines(result.left, rows, home),
    ]
    : [];
  if (!result.reached) {
    const reasons = last.peers.map((peer) =>
      `    ${escapeText(peer.name)}: ${escapeText(peer.reason ?? "it did not answer")}`
    );
    return ["no peer could be reached.", ...reasons, ...left];
  }
  if (result.left > 0) return left;
  if (problem.length > 0) return problem;
  const { sent, received, sentBytes, receivedBytes } = last.total;
  return [
    `Everything is delivered: sent ${plural(sent, "operation")} (${showBytes(sentBytes)}), ` +
    `received ${plural(received, "operation")} (${showBytes(receivedBytes)}).`,
  ];
}

function leftLines(count: number, rows: readonly PendingRow[], home: Pick<Home, "command">): string[] {
  const shown = rows.slice(0, SHOWN_LEFT);
  const lines = shown.map(({ peer, pending }) =>
    `    ${showPath(pending.path)} for ${escapeText(peer)}: ${escapeText(pending.reason ?? "not tried yet")}`
  );
  const more = count - shown.length;
  return more > 0 ? [...lines, `    and ${plural(more, "more", "more")}: ${home.command("pending")}`] : lines;
}
