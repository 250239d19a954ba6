import type { ErrorCode } from "../domain/mirror_error.ts";

/** The exit statuses of every command (DESIGN.md, Command line). */
export const EXIT = {
  done: 0,
  failed: 1,
  wrongUsage: 2,
  notLoggedIn: 3,
  noSuchPeer: 4,
  homeInUse: 5,
  notReached: 75,
} as const;

/** The exit status of a command that failed with `code`. */
export function exitStatusOf(code: ErrorCode): number {
  switch (code) {
    case "wrong_usage":
    case "bad_invite":
      return EXIT.wrongUsage;
    case "not_logged_in":
    case "not_allowed":
    case "login_failed":
    case "login_throttled":
      return EXIT.notLoggedIn;
    case "no_such_peer":
    case "not_trusted":
    case "invite_refused":
      return EXIT.noSuchPeer;
    case "home_in_use":
      return EXIT.homeInUse;
    case "unreachable":
      return EXIT.notReached;
    default:
      return EXIT.failed;
  }
}

const MEANING: Readonly<Record<number, string>> = {
  [EXIT.done]: "done",
  [EXIT.failed]: "failed; the message says why and what to do",
  [EXIT.wrongUsage]: "wrong usage",
  [EXIT.notLoggedIn]: "not logged in, or the role does not allow it",
  [EXIT.noSuchPeer]: "no such peer, or it is not trusted",
  [EXIT.homeInUse]: "this home is in use by another process",
  [EXIT.notReached]: "the peer could not be reached",
};

/** The end of a command's help: its exit statuses, in the words of `special` where they mean more, and an example. */
export function helpEnd(
  example: string,
  statuses: readonly number[],
  special: Readonly<Record<number, string>> = {},
): string {
  // Any command can be refused to somebody who is not logged in.
  const all = [...new Set([...statuses, EXIT.notLoggedIn])].sort((a, b) => a - b);
  const lines = all.map((status) =>
    `  ${String(status).padEnd(4)}${special[status] ?? MEANING[status] ?? ""}`
  );
  return ["", "Exit status:", ...lines, examplesEnd(example)].join("\n");
}

/** The end of the help of a command that has others below it. */
export function examplesEnd(example: string): string {
  return ["", "Example:", ...example.split("\n").map((line) => `  $ ${line}`)].join("\n");
}
