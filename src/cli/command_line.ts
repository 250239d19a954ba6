import { Command, CommanderError } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Action, Context } from "./context.ts";
import { EXIT } from "./exit_status.ts";
import { Home, homeDirectory } from "./home.ts";
import { addIdentity } from "./identity.ts";
import { addInit } from "./init.ts";
import { addLog } from "./log.ts";
import { Output, processStreams, type Streams } from "./output.ts";
import { addPeer } from "./peer.ts";
import { addPending } from "./pending.ts";
import { addRun } from "./run.ts";
import { addStatus } from "./status.ts";
import { reportError } from "./report_error.ts";
import { addVerify } from "./verify.ts";

interface GlobalFlags {
  readonly home?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly verbose?: true;
}

/**
 * Runs one command line.
 *
 * @param args Without the program's own name.
 * @param version Of this program.
 * @param streams The process's own unless a test hands in others.
 * @returns The exit status.
 */
export async function runCommandLine(
  args: readonly string[],
  version: string,
  streams: Streams = processStreams(),
): Promise<number> {
  const program = new Command("mirrorsync");
  let status: number = EXIT.done;

  const outputWith = (flags: GlobalFlags) =>
    new Output(streams, {
      json: flags.json ?? false,
      quiet: flags.quiet ?? false,
      verbose: flags.verbose ?? false,
    });
  const action: Action = (run) => async (...args) => {
    const flags = program.opts<GlobalFlags>();
    const flag = flags.home ?? null;
    const directory = homeDirectory({ flag, env: streams.env, os: Deno.build.os, cwd: Deno.cwd() });
    const context: Context = { home: new Home(directory, flag === null), output: outputWith(flags), version };
    status = await run(context, ...args);
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
      "\nExit status: 0 done · 1 failed · 2 wrong usage · 4 no such peer or not trusted · 5 home in use · 75 peer not reached",
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
  addPeer(program, action);
  addRun(program, action);
  addStatus(program, action);
  addLog(program, action);
  addPending(program, action);
  addVerify(program, action);

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
