import { runCommandLine } from "../../src/cli/command_line.ts";
import { wantsColour } from "../../src/cli/output.ts";
import pc from "picocolors";

/** What a command said, and its exit status. */
export interface Captured {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line in this process, with `stdin` as what it reads. */
export async function capture(
  args: readonly string[],
  env: Record<string, string> = {},
  stdin = "",
): Promise<Captured> {
  let out = "", err = "";
  const status = await runCommandLine(args, { version: "1.2.3", command: ["/opt/mirror sync/mirrorsync"] }, {
    out: (text) => out += text,
    err: (text) => err += text,
    outIsTerminal: false,
    errIsTerminal: false,
    env: (name) => env[name],
  }, { readAll: () => Promise.resolve(stdin), askHidden: null });
  return { status, out, err };
}

/** No colours at all. */
export const PLAIN = pc.createColors(wantsColour(false, () => undefined));
