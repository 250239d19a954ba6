import { Command, CommanderError } from "commander";
import type { Actor } from "../auth/auth.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Access, Action, Context } from "./context.ts";
import { EXIT } from "./exit_status.ts";
import { admitTo } from "./gate.ts";
import { Home, homeDirectory } from "./home.ts";
import { addIdentity } from "./identity.ts";
import { addInit } from "./init.ts";
import { type Input, processInput } from "./input.ts";
import { addInvite } from "./invite.ts";
import { addJoin } from "./join.ts";
import { addLog } from "./log.ts";
import { addLogin } from "./login.ts";
import { Output, processStreams, type Streams } from "./output.ts";
import { addPeer } from "./peer.ts";
import { addPending } from "./pending.ts";
import { addRun } from "./run.ts";
import { addStatus } from "./status.ts";
import { reportError } from "./report_error.ts";
import { addToken } from "./token.ts";
import { addUser } from "./user.ts";
import { addVerify } from "./verify.ts";

interface GlobalFlags {
  readonly home?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly verbose?: true;
}

const NOBODY: Actor = { kind: "owner", name: null, role: "operator" };

/** The command as it was typed, without the program's name: commander hands it over as the last argument. */
function commandName(command: unknown): string {
  const names: string[] = [];
  for (let at = command instanceof Command ? command : null; at?.parent; at = at.parent) {
    names.unshift(at.name());
  }
  return names.join(" ");
}

/**
 * Runs one command line.
 *
 * @param args Without the program's own name.
 * @param version Of this program.
 * @param streams The process's own unless a test hands in others.
 * @param input The same for what is read.
 * @returns The exit status.
 */
export async function runCommandLine(
  args: readonly string[],
  version: string,
  streams: Streams = processStreams(),
  input: Input = processInput(streams.err),
): Promise<number> {
  const program = new Command("mirrorsync");
  let status: number = EXIT.done;

  const outputWith = (flags: GlobalFlags) =>
    new Output(streams, {
      json: flags.json ?? false,
      quiet: flags.quiet ?? false,
      verbose: flags.verbose ?? false,
    });
  const action: Action = <A extends unknown[]>(
    access: Access,
    run: (context: Context, ...args: A) => Promise<number>,
  ) =>
  async (...args: A) => {
    const flags = program.opts<GlobalFlags>();
    const flag = flags.home ?? null;
    const directory = homeDirectory({ flag, env: streams.env, os: Deno.build.os, cwd: Deno.cwd() });
    const home = new Home(directory, flag === null);
    await home.mustBePrivate();
    const open = { home, output: outputWith(flags), input, version };
    // A command for everyone has a type of context without an actor: it cannot look at this one.
    const actor = access === "everyone"
      ? NOBODY
      : await admitTo(home, access, commandName(args.at(-1)), streams.env);
    status = await run({ ...open, actor }, ...args);
  };

  let usageError = "";
  program
    .description(
      "Mirrors a folder to another computer, and the other computer's folder to this one: a save is on the other disk, " +
        "verified and durable, a moment later, encrypted by mutual TLS. What cannot be sent waits and is never lost.",
    )
    .option(
      "--home <dir>",
      "the folder of this peer's own state (or MIRRORSYNC_HOME; default: the OS's data folder)",
    )
    .option("--json", "print JSON: one value, or an object a line for what goes on")
    .option("--quiet", "say nothing but results, warnings and errors")
    .option("--verbose", "say more: every file, and where an unexpected error came from")
    .version(version, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText(
      "after",
      "\nExit status: 0 done · 1 failed · 2 wrong usage · 3 not logged in · 4 no such peer or not trusted · 5 home in use · 75 peer not reached",
    )
    .configureHelp({ showGlobalOptions: true })
    .exitOverride()
    .configureOutput({
      writeOut: (text) => streams.out(text),
      writeErr: (text) => streams.err(text),
      outputError: (text) => usageError += text,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  addInit(program, action);
  addIdentity(program, action);
  addInvite(program, action);
  addJoin(program, action);
  addPeer(program, action);
  addRun(program, action);
  addStatus(program, action);
  addLog(program, action);
  addPending(program, action);
  addVerify(program, action);
  addUser(program, action);
  addLogin(program, action);
  addToken(program, action);

  try {
    await program.parseAsync([...args], { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done; // --help, --version
      // `mirrorsync`, or `mirrorsync peer`, alone: its help was printed, and there is nothing to add.
      if (usageError === "") return EXIT.wrongUsage;
      const message = usageError.trim().replace(/^error: /, "").replaceAll("\n", " ");
      return reportError(
        new MirrorError("wrong_usage", `${message} (mirrorsync --help shows what there is)`),
        // Commander gives up before it has looked at every flag.
        outputWith({ ...args.includes("--json") && { json: true } }),
      );
    }
    return reportError(error, outputWith(program.opts<GlobalFlags>()));
  }
}
