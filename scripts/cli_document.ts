/** `deno task docs`: writes docs/CLI.md out of the same definitions as `--help`. A test holds it to be current. */
import { join } from "node:path";
import manifest from "../deno.json" with { type: "json" };
import { allCommands, defineProgram } from "../src/cli/program.ts";
import { ROOT } from "./support/root.ts";

/** Columns of the help in the document. */
const WIDTH = 100;
const INTRODUCTION = `# The command line

Every command with its flags, exit statuses and examples, as \`mirrorsync COMMAND --help\` prints it. This page
is made by \`deno task docs\` out of the program's own definitions; edit those, not this.

Results go to stdout, everything else to stderr. Colours are used on a terminal only, and never with
\`NO_COLOR\`. With \`--json\` a command prints one JSON value, or one object a line for what goes on.
`;

/** The text of docs/CLI.md. */
export function cliDocument(): string {
  const program = defineProgram(() => () => Promise.resolve(), manifest.version, () => {});
  const sections = allCommands(program).map((command) => {
    let help = "";
    command.configureOutput({
      writeOut: (text) => help += text,
      getOutHelpWidth: () => WIDTH,
      getOutHasColors: () => false,
    });
    command.outputHelp();
    const names: string[] = [];
    for (let at: typeof command | null = command; at !== null; at = at.parent) names.unshift(at.name());
    return `## ${names.join(" ")}\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`;
  });
  return [INTRODUCTION, ...sections].join("\n");
}

if (import.meta.main) Deno.writeTextFileSync(join(ROOT, "docs", "CLI.md"), cliDocument());
