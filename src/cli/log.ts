import { type Command, InvalidArgumentError } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import type { LogEntry } from "../store/log.ts";
import { auditJson, auditLines } from "./audit_text.ts";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { escapeText, jsonTime, showBytes, showPath, showTime, table } from "./text.ts";

interface Flags {
  readonly limit: number;
  readonly path?: string;
  readonly audit?: true;
}

const DEFAULT_LIMIT = 100;

/** Adds `mirrorsync log`. */
export function addLog(program: Command, action: Action): void {
  program.command("log")
    .summary("show what was sent and received, and what happened to it")
    .description(
      "Shows the newest rows of the log, the newest last: every operation that was sent or received, with its result, and " +
        "what happened here that you should know (a file that is not sent, a conflict copy). With --audit it shows instead who " +
        "was let in, who was refused, and who changed what.",
    )
    .option("--limit <n>", "how many rows", countFlag, DEFAULT_LIMIT)
    .option(
      "--path <glob>",
      "only paths that match: * is any text (with slashes), ? one character, [a-z] one of these",
    )
    .option("--audit", "the audit trail: logins, refusals, and changes of users, tokens, peers and settings")
    .addHelpText(
      "after",
      helpEnd("mirrorsync log --limit 20 --path 'docs/*.txt'\nmirrorsync log --audit", [
        EXIT.done,
        EXIT.failed,
        EXIT.wrongUsage,
      ]),
    )
    .action(action("operator", log));
}

/** Reads the value of a flag that is a count. */
export function countFlag(text: string): number {
  const count = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (count < 1) throw new InvalidArgumentError("Use a whole number from 1 on.");
  return count;
}

async function log({ home, output }: Context, flags: Flags): Promise<number> {
  if (flags.audit && flags.path !== undefined) {
    throw new MirrorError("wrong_usage", "the audit trail is not about paths: leave --path or --audit away");
  }
  await home.mustBeInitialised();
  using store = home.openStore();
  if (flags.audit) {
    const rows = store.audit.newest(flags.limit).reverse();
    output.result(rows.map(auditJson), () => auditLines(rows));
    if (rows.length === 0) output.hint(["The audit trail has no rows."]);
    return EXIT.done;
  }
  const entries = store.log.newest(flags.limit, flags.path ?? null).reverse();
  output.result(entries.map(logJson), () => logLines(entries));
  if (entries.length === 0) output.hint(["The log has no such rows."]);
  return EXIT.done;
}

/** A row of the log as JSON. */
export function logJson(entry: LogEntry) {
  const { atMs, ...rest } = entry;
  const {
    sizeBytes,
    id,
    direction,
    action,
    path,
    hash,
    timestamp,
    sender,
    peer,
    status,
    code,
    error,
    wireBytes,
  } = rest;
  return {
    ...{ at: jsonTime(atMs), direction, action, path, size: sizeBytes, hash, timestamp, sender, peer },
    ...{ status, code, error, id, wireBytes },
  };
}

/** Rows of the log as lines, what went wrong below its row. */
export function logLines(entries: readonly LogEntry[]): string[] {
  const rows = table(entries.map((entry) => [
    showTime(entry.atMs),
    entry.direction === "sent" ? "→" : entry.direction === "received" ? "←" : " ",
    escapeText(entry.peer ?? entry.sender ?? "here"),
    escapeText(entry.action),
    entry.sizeBytes === null || !entry.hash ? "" : showBytes(entry.sizeBytes), // folders and deletions have none
    entry.status === "ok" ? "ok" : escapeText(entry.code ?? entry.status),
    showPath(entry.path),
  ]));
  return rows.flatMap((row, i) => {
    const error = entries[i]!.error;
    return error === null ? [row] : [row, `    ${escapeText(error)}`];
  });
}
