import { MirrorError } from "../domain/mirror_error.ts";
import type { Input } from "./input.ts";

/** More than any password has. */
const MAX_STDIN_BYTES = 16 * 1024;

/** The flag of every command that takes a password. */
export interface PasswordFlags {
  readonly passwordStdin?: true;
}

/** A password that is there already. @throws {MirrorError} `wrong_usage` when there is nowhere to get it from. */
export async function existingPassword(input: Input, flags: PasswordFlags, prompt: string): Promise<string> {
  if (flags.passwordStdin) return (await linesOf(input, ["the password"]))[0]!;
  return await terminal(input)(prompt);
}

/** A new password: on a terminal it is asked for twice. */
export async function newPassword(input: Input, flags: PasswordFlags, prompt: string): Promise<string> {
  if (flags.passwordStdin) return (await linesOf(input, ["the new password"]))[0]!;
  return await twice(terminal(input), prompt);
}

/** The password that is there, and the one that is to be. */
export async function bothPasswords(
  input: Input,
  flags: PasswordFlags,
): Promise<[current: string, next: string]> {
  if (flags.passwordStdin) {
    const [current, next] = await linesOf(input, ["the current password", "the new password"]);
    return [current!, next!];
  }
  const ask = terminal(input);
  const current = await ask("Current password: ");
  return [current, await twice(ask, "New password: ")];
}

async function twice(ask: (prompt: string) => Promise<string>, prompt: string): Promise<string> {
  const password = await ask(prompt);
  if (await ask("Once more: ") === password) return password;
  throw new MirrorError("failed", "the two were not the same: nothing was changed, try again");
}

function terminal({ askHidden }: Input): (prompt: string) => Promise<string> {
  if (askHidden !== null) return askHidden;
  throw new MirrorError(
    "wrong_usage",
    "there is no terminal to ask for the password on: hand it in on stdin, with --password-stdin",
  );
}

/** The lines on stdin, which must be as many as are expected. */
async function linesOf(input: Input, expected: readonly string[]): Promise<string[]> {
  const text = await input.readAll(MAX_STDIN_BYTES);
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
  if (lines.length === expected.length && lines.every((line) => line !== "")) return lines;
  throw new MirrorError(
    "wrong_usage",
    `--password-stdin needs ${expected.length === 1 ? "one line" : `${expected.length} lines`} on stdin: ${
      expected.join(", then ")
    }`,
  );
}
