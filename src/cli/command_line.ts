import { Command, CommanderError } from "commander";
import type { Actor } from "../auth/auth.ts";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Access, Action, Context, ThisProgram } from "./context.ts";
import { EXIT } from "./exit_status.ts";
import { admitTo } from "./gate.ts";
import { unknownCommand } from "./help.ts";
import { Home, homeDirectory } from "./home.ts";
import { type Input, processInput } from "./input.ts";
import { Output, processStreams, type Streams } from "./output.ts";
import { allCommands, defineProgram } from "./program.ts";
import { reportError } from "./report_error.ts";

interface GlobalFlags {
  readonly home?: string;
  readonly json?: true;
  readonly quiet?: true;
  readonly verbose?: true;
  readonly tokenFile?: string;
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
 * @param self This program.
 * @param streams The process's own unless a test hands in others.
 * @param input The same for what is read.
 * @returns The exit status.
 */
export async function runCommandLine(
  args: readonly string[],
  self: ThisProgram,
  streams: Streams = processStreams(),
  input: Input = processInput(streams.err),
): Promise<number> {
  let status: number = EXIT.done;
  let usageError = "";

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
    const open = { home, output: outputWith(flags), input, env: streams.env, program: self };
    // A command for everyone has a type of context without an actor: it cannot look at this one.
    const actor = access === "everyone"
      ? NOBODY
      : await admitTo(home, access, commandName(args.at(-1)), streams.env, flags.tokenFile ?? null);
    status = await run({ ...open, actor }, ...args);
  };

  const program = defineProgram(action, self.version, streams.out);
  for (const command of allCommands(program)) {
    // Every command: commander copies these when a command is made, and these come later.
    command.exitOverride().configureOutput({
      writeOut: (text) => streams.out(text),
      writeErr: (text) => streams.err(text),
      outputError: (text) => usageError += text,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  }

  try {
    await program.parseAsync([...args], { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.done; // --help, --version
      // `mirrorsync`, or `mirrorsync peer`, alone: its help was printed, and there is nothing to add.
      if (usageError === "") return EXIT.wrongUsage;
      const mistyped = error.code === "commander.excessArguments" ? mistypedCommand(program, args) : null;
      const message = mistyped ?? usageError.trim().replace(/^error: /, "").replaceAll("\n", " ");
      return reportError(
        new MirrorError("wrong_usage", `${message} (${helpOf(program, args)} shows what there is)`),
        // Commander gives up before it has looked at every flag.
        outputWith({ ...args.includes("--json") && { json: true } }),
      );
    }
    return reportError(error, outputWith(program.opts<GlobalFlags>()));
  }
}

/**
 * What was typed in place of a command, where one has a default: commander takes it for an argument of the default.
 *
 * @returns The message about it, `null` when that is not it.
 */
function mistypedCommand(program: Command, args: readonly string[]): string | null {
  let at = program;
  for (const word of args) {
    const below = at.commands.find((command) => command.name() === word);
    if (below !== undefined) at = below;
    else if (at !== program && at.commands.length > 0 && !word.startsWith("-")) {
      return unknownCommand(at, word);
    }
  }
  return null;
}

/** The command line that shows the help of the command that was meant, as far as its words are known. */
function helpOf(program: Command, args: readonly string[]): string {
  let at = program;
  const words = [program.name()];
  for (let i = 0; i < args.length; i++) {
    const word = args[i]!;
    const flag = [...at.options, ...program.options].find(({ long, short }) =>
      word === long || word === short
    );
    if (flag?.required) i++; // what follows is its value
    const below = at.commands.find((command) => command.name() === word);
    if (below === undefined) continue;
    at = below;
    words.push(word);
  }
  return `${words.join(" ")} --help`;
}
