import { Argument, type Command } from "commander";
import { bashCompletion } from "./completion_bash.ts";
import { fishCompletion } from "./completion_fish.ts";
import { powershellCompletion } from "./completion_powershell.ts";
import { completionTree } from "./completion_tree.ts";
import { zshCompletion } from "./completion_zsh.ts";
import { EXIT, helpEnd } from "./exit_status.ts";

const SCRIPTS = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
  powershell: powershellCompletion,
} as const;
type Shell = keyof typeof SCRIPTS;

/**
 * Adds `mirrorsync completions`. The scripts know every command that is in `program` when one is asked for. The one command that
 * has to do with no home: a shell runs it whenever it starts.
 *
 * @param print Writes to stdout.
 */
export function addCompletions(program: Command, print: (text: string) => void): void {
  program.command("completions")
    .addArgument(new Argument("<shell>", "whose script to print").choices(Object.keys(SCRIPTS)))
    .summary("print what makes a shell complete commands and flags")
    .description(
      "Prints a script that makes a shell complete mirrorsync's commands, flags and folders on the Tab key. The script's first " +
        "line says where it goes. It is made of the same definitions as this help.",
    )
    .addHelpText(
      "after",
      helpEnd(
        "source <(mirrorsync completions bash)\n" +
          "mirrorsync completions fish > ~/.config/fish/completions/mirrorsync.fish\n" +
          "mirrorsync completions powershell | Out-String | Invoke-Expression",
        [EXIT.done, EXIT.wrongUsage],
      ),
    )
    .action((shell: Shell) => print(SCRIPTS[shell](completionTree(program))));
}
