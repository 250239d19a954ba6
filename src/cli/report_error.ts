import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { exitStatusOf } from "./exit_status.ts";
import type { Output } from "./output.ts";
import { escapeText } from "./text.ts";

/**
 * Tells of a command's failure: a line on stderr, with `--json` also an object on stdout for programs, with `--verbose` also
 * where an error came from that nobody foresaw.
 *
 * @returns The exit status.
 */
export function reportError(error: unknown, output: Output): number {
  const code = error instanceof MirrorError ? error.code : "failed";
  const message = messageOf(error);
  output.line(`mirrorsync: ${escapeText(message) || "failed for no known reason"}`);
  if (output.json) output.jsonLine({ error: { code, message } });
  if (output.verbose) {
    let cause = error instanceof MirrorError ? error.cause : error;
    for (; cause instanceof Error; cause = cause.cause) {
      output.line((cause.stack ?? String(cause)).split("\n").map(escapeText).join("\n"));
    }
  } else if (!(error instanceof MirrorError)) {
    output.line(
      "mirrorsync: this was not foreseen; the same command with --verbose shows where it came from",
    );
  }
  return exitStatusOf(code);
}
