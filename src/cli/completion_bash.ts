import {
  casesOfCommands,
  casesOfValues,
  type CompletionNode,
  flagsWithValue,
  type Value,
} from "./completion_tree.ts";

/** The completion script for bash, version 3.2 (of macOS) and later. */
export function bashCompletion(nodes: readonly CompletionNode[]): string {
  return `# bash completion for mirrorsync. Load it in ~/.bashrc:  source <(mirrorsync completions bash)
_mirrorsync() {
  local word at="" i current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}"
  local IFS=$'\\n'
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "$at $word" in
      ${flagsWithValue(nodes).map((flag) => `*" ${flag}"`).join("|")}) ((i++)) ;;
${casesOfCommands(nodes)}
    esac
  done
  case "$at $before" in
${casesOfValues(nodes, offerValue)}
  esac
  case "$at" in
${nodes.map((node) => `    "${node.path}") ${offerWords(node)} ;;`).join("\n")}
  esac
}
complete -F _mirrorsync mirrorsync
`;
}

function offerValue(value: Value): string {
  switch (value.kind) {
    case "folder":
      return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$current"))';
    case "file":
      return 'compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$current"))';
    case "choices":
      return words(value.choices);
    case "text":
      return ":";
  }
}

/** Flags after a dash; else commands, or what the argument can be. */
function offerWords({ commands, flags, argument }: CompletionNode): string {
  const names = words(flags.flatMap((flag) => flag.names));
  const rest = commands.length > 0
    ? words(commands.map(({ name }) => name))
    : argument !== null
    ? offerValue(argument)
    : names;
  return `if [[ $current == -* ]]; then ${names}; else ${rest}; fi`;
}

function words(list: readonly string[]): string {
  return `COMPREPLY=($(compgen -W $'${list.join("\\n")}' -- "$current"))`;
}
