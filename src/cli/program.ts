import { Command } from "commander";
import { addConfirm } from "./confirm.ts";
import { addCompletions } from "./completions.ts";
import type { Action } from "./context.ts";
import { addDoctor } from "./doctor.ts";
import { addHelp } from "./help.ts";
import { addIdentity } from "./identity.ts";
import { addInit } from "./init.ts";
import { addInvite } from "./invite.ts";
import { addJoin } from "./join.ts";
import { addLog } from "./log.ts";
import { addLogin } from "./login.ts";
import { addPeer } from "./peer.ts";
import { addPending } from "./pending.ts";
import { addRestore } from "./restore.ts";
import { addRun } from "./run.ts";
import { addService } from "./service.ts";
import { addStatus } from "./status.ts";
import { addTrash } from "./trash.ts";
import { addToken } from "./token.ts";
import { addUser } from "./user.ts";
import { addVerify } from "./verify.ts";

/**
 * The whole command line: every command, argument and flag with its words. `--help`, the completions and docs/CLI.md are all made
 * of this.
 *
 * @param action What a command's run function becomes.
 * @param version Of this program.
 * @param print Writes to stdout.
 */
export function defineProgram(action: Action, version: string, print: (text: string) => void): Command {
  const program = new Command("mirrorsync");
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
    .option(
      "--token-file <file>",
      "a file with a token in it, in place of a login (or MIRRORSYNC_TOKEN; see `token`)",
    )
    .version(version, "--version", "print the version")
    .helpOption("-h, --help", "print this help")
    .addHelpText(
      "after",
      [
        "",
        "Exit status: 0 done · 1 failed · 2 wrong usage · 3 not logged in",
        "             4 no such peer or not trusted · 5 home in use · 75 peer not reached",
        "",
        "Two computers, in three steps:",
        "  laptop   $ mirrorsync invite                    prints a line, and waits",
        "  desktop  $ mirrorsync join LINE                 with that line: now they trust each other",
        "  both     $ mirrorsync run --watched ~/Mirror --synced ~/FromTheOther",
        "",
        "  mirrorsync help COMMAND tells more about a command, with examples.",
      ].join("\n"),
    )
    .configureHelp({ showGlobalOptions: true });
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
  addTrash(program, action);
  addRestore(program, action);
  addConfirm(program, action);
  addDoctor(program, action);
  addUser(program, action);
  addLogin(program, action);
  addToken(program, action);
  addService(program, action);
  addCompletions(program, print);
  // One for all, which takes any command's words, in place of one in every group.
  for (const command of allCommands(program)) command.helpCommand(false);
  addHelp(program);
  return program;
}

/** A command and all below it, each before its own. */
export function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}
