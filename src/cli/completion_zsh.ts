import {
  casesOfCommands,
  casesOfValues,
  type CompletionNode,
  flagsWithValue,
  type Value,
} from "./completion_tree.ts";

/** The completion script for zsh. */
export function zshCompletion(nodes: readonly CompletionNode[]): string {
  return `#compdef mirrorsync
# zsh completion for mirrorsync. Load it in ~/.zshrc, after compinit:  source <(mirrorsync completions zsh)
_mirrorsync() {
  local word at="" i
  local -a commands flags
  for ((i = 2; i < CURRENT; i++)); do
    word="$words[i]"
    case "$at $word" in
      ${flagsWithValue(nodes).map((flag) => `*" ${flag}"`).join("|")}) ((i++)) ;;
${casesOfCommands(nodes)}
    esac
  done
  case "$at $words[CURRENT-1]" in
${casesOfValues(nodes, offerValue)}
  esac
  case "$at" in
${nodes.map(wordsOf).join("\n")}
  esac
}
if [[ $funcstack[1] == _mirrorsync ]]; then _mirrorsync "$@"; else compdef _mirrorsync mirrorsync; fi
`;
}

function offerValue(value: Value): string {
  switch (value.kind) {
    case "folder":
      return "_files -/";
    case "file":
      return "_files";
    case "choices":
      return `compadd -- ${value.choices.join(" ")}`;
    case "text":
      return ":";
  }
}

/** A word with its description, as \`_describe\` takes it. */
function described(word: string, description: string): string {
  return `'${`${word}:${description.replaceAll(":", "\\:")}`.replaceAll("'", "'\\''")}'`;
}

function wordsOf({ path, commands, flags, argument }: CompletionNode): string {
  const names = flags.flatMap((flag) => flag.names.map((name) => described(name, flag.description)));
  const rest = commands.length > 0
    ? `commands=(${
      commands.map(({ name, description }) => described(name, description)).join(" ")
    }); _describe command commands`
    : argument !== null
    ? offerValue(argument)
    : "_describe flag flags";
  return `    "${path}")
      flags=(${names.join(" ")})
      if [[ $words[CURRENT] == -* ]]; then _describe flag flags; else ${rest}; fi ;;`;
}
