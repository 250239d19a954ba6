import type { Command } from "commander";
import type { Pending } from "../store/pending.ts";
import type { Action, Context } from "./context.ts";
import { examplesEnd, EXIT, helpEnd } from "./exit_status.ts";
import { escapeText, jsonTime, plural, showBytes, showPath, showTime, table } from "./text.ts";

/** Adds `mirrorsync pending list|retry`. */
export function addPending(program: Command, action: Action): void {
  const pending = program.command("pending")
    .summary("list what was not delivered yet and why, or try it again")
    .description("What was not delivered yet: every path that differs from what a peer has acknowledged.")
    .addHelpText("after", examplesEnd("mirrorsync pending\nmirrorsync pending retry"));
  pending.command("list", { isDefault: true })
    .summary("list it (this is what `pending` alone does)")
    .description(
      "Lists every path that was not delivered yet, with the reason where it was tried. `waiting` goes out by itself; " +
        "`refused` waits until the path changes or for `pending retry`.",
    )
    .addHelpText("after", helpEnd("mirrorsync pending", [EXIT.done, EXIT.failed, EXIT.wrongUsage]))
    .action(action("operator", list));
  pending.command("retry")
    .summary("try everything again now, the refused too")
    .description(
      "Makes everything that is pending due at once, the refused too. A peer that runs begins within a second.",
    )
    .addHelpText("after", helpEnd("mirrorsync pending retry", [EXIT.done, EXIT.failed, EXIT.wrongUsage]))
    .action(action("operator", retry));
}

/** A row of `pending` with the name of its peer. */
export interface PendingRow {
  readonly peer: string;
  readonly pending: Pending;
}

async function list({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const rows = store.peers.list().flatMap((peer) =>
    store.pending.list(peer.number).map((pending): PendingRow => ({ peer: peer.name, pending }))
  );
  output.result(rows.map(pendingJson), () => pendingLines(rows));
  if (rows.length === 0) output.hint(["Nothing is pending."]);
  return EXIT.done;
}

async function retry({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const retried = store.pending.retryAll();
  output.done({ retried }, () => [
    retried === 0
      ? "Nothing was waiting for a later time, and nothing was refused."
      : `${plural(retried, "path")} will be tried again at once.`,
  ]);
  return EXIT.done;
}

/** A row of `pending` as JSON. */
export function pendingJson({ peer, pending: p }: PendingRow) {
  return {
    peer,
    path: p.path,
    action: p.action,
    kind: p.kind,
    size: p.sizeBytes,
    state: p.state,
    code: p.code,
    reason: p.reason,
    attempts: p.attempts,
    nextAttempt: p.nextAttemptMs === 0 ? null : jsonTime(p.nextAttemptMs),
    since: jsonTime(p.sinceMs),
    movedTo: p.movedTo,
    movedFrom: p.movedFrom,
  };
}

/** Rows of `pending` as lines, the reason below its row. */
export function pendingLines(rows: readonly PendingRow[]): string[] {
  const lines = table(rows.map(({ peer, pending: p }) => [
    escapeText(peer),
    p.state,
    p.action,
    p.action === "delete" || p.kind === "folder" ? "" : showBytes(p.sizeBytes),
    showPath(p.path),
  ]));
  return lines.flatMap((line, i) => {
    const { reason, attempts, nextAttemptMs, movedTo } = rows[i]!.pending;
    if (reason === null) {
      return movedTo === null ? [line] : [line, `    goes when ${showPath(movedTo)} has arrived`];
    }
    const next = nextAttemptMs === 0 ? "" : `, next at ${showTime(nextAttemptMs)}`;
    return [line, `    ${escapeText(reason)} (tried ${plural(attempts, "time")}${next})`];
  });
}
