import { type CompletionNode, flagsWithValue, type Value } from "./completion_tree.ts";

/** The completion script for fish. */
export function fishCompletion(nodes: readonly CompletionNode[]): string {
  const paths = nodes.map(({ path }) => path).filter((path) => path !== "");
  return `# fish completion for mirrorsync. Save it:  mirrorsync completions fish > ~/.config/fish/completions/mirrorsync.fish
function __mirrorsync_is_at
    set -l at
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${flagsWithValue(nodes).join(" ")}
            set skip 1
        else if contains -- (string join ' ' $at $word) ${paths.map(quote).join(" ")}
            set at $at $word
        end
    end
    test "$argv[1]" = "$at"
end
complete -c mirrorsync -f
${nodes.flatMap(linesOf).join("\n")}
`;
}

function linesOf({ path, commands, flags, argument }: CompletionNode): string[] {
  const at = `complete -c mirrorsync -n "__mirrorsync_is_at '${path}'"`;
  return [
    ...commands.map(({ name, description }) => `${at} -a ${name} -d ${quote(description)}`),
    ...(argument === null ? [] : [`${at} ${offer(argument)}`.trim()]),
    ...flags.map(({ names, description, value }) => {
      const words = names.map((name) =>
        name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
      );
      const takes = value === null ? "" : ` -r ${offer(value)}`;
      return `${at} ${words.join(" ")}${takes} -d ${quote(description)}`;
    }),
  ];
}

function offer(value: Value): string {
  switch (value.kind) {
    case "folder":
      return "-x -a '(__fish_complete_directories)'";
    case "file":
      return "-F";
    case "choices":
      return `-x -a ${quote(value.choices.join(" "))}`;
    case "text":
      return "-x";
  }
}

function quote(text: string): string {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}
