import type { Command } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import { EXIT, helpEnd } from "./exit_status.ts";

/** Adds `mirrorsync help`: it has to do with no home. */
export function addHelp(program: Command): void {
  program.command("help").argument("[command...]", "the words of a command")
    .summary("print the help of a command")
    .description("Prints the help of a command, as `mirrorsync COMMAND --help` does.")
    .addHelpText(
      "after",
      helpEnd("mirrorsync help run\nmirrorsync help peer add", [EXIT.done, EXIT.wrongUsage]),
    )
    .action((words: string[]) => {
      let at = program;
      for (const word of words) {
        const below = at.commands.find((command) => command.name() === word);
        if (below === undefined) throw new MirrorError("wrong_usage", unknownCommand(at, word));
        at = below;
      }
      at.outputHelp();
    });
}

/** The message about a word that is none of the commands there. */
export function unknownCommand(at: Command, word: string): string {
  const names = at.commands.map((command) => command.name());
  const of = at.parent === null ? "" : ` of ${at.name()}`;
  return `unknown command '${word}'${of}${names.length === 0 ? "" : `: there is ${names.join(", ")}`}`;
}
