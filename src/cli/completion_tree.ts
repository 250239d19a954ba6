import type { Argument, Command, Option } from "commander";

/** What can stand after a flag, or as an argument. */
export type Value =
  | { readonly kind: "folder" | "file" | "text" }
  | { readonly kind: "choices"; readonly choices: readonly string[] };

/** A flag as completions know it. */
export interface CompletionFlag {
  /** `--name`, `-h`: at least one. */
  readonly names: readonly string[];
  readonly description: string;
  /** What has to follow it; `null` for nothing. */
  readonly value: Value | null;
}

/** What can be typed after the words of one command. */
export interface CompletionNode {
  /** The words of the command, without the program's name: `""`, `peer`, `peer add`. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly description: string }[];
  readonly flags: readonly CompletionFlag[];
  /** What its first argument is; `null` when it takes none. */
  readonly argument: Value | null;
}

/**
 * What the completions of every shell are made of.
 *
 * @throws {Error} when a flag takes a value in one command and none in another: the scripts could not tell its value from a command.
 */
export function completionTree(program: Command): CompletionNode[] {
  const nodes = collect(program, "", []);
  const takesValue = new Map<string, boolean>();
  for (const { path, flags } of nodes) {
    for (const { names, value } of flags) {
      for (const name of names) {
        if ((takesValue.get(name) ?? value !== null) !== (value !== null)) {
          throw new Error(`${name} takes a value in one command and none in "${path}"`);
        }
        takesValue.set(name, value !== null);
      }
    }
  }
  return nodes;
}

/** Every flag that takes a value, in any command. */
export function flagsWithValue(nodes: readonly CompletionNode[]): string[] {
  const names = nodes.flatMap(({ flags }) =>
    flags.flatMap((flag) => flag.value === null ? [] : [...flag.names])
  );
  return [...new Set(names)].sort();
}

function collect(command: Command, path: string, inherited: readonly CompletionFlag[]): CompletionNode[] {
  const help = command.createHelp();
  const own = help.visibleOptions(command).map(toFlag);
  const known = new Set(own.flatMap(({ names }) => names));
  const flags = [...own, ...inherited.filter(({ names }) => !names.some((name) => known.has(name)))];
  const below = help.visibleCommands(command);
  const node: CompletionNode = {
    path,
    commands: below.map((sub) => ({
      name: sub.name(),
      description: shortly(sub.summary() || sub.description()),
    })),
    flags,
    argument: command.name() === "help"
      ? {
        kind: "choices",
        choices: help.visibleCommands(command.parent!).map((sub) => sub.name()).filter((name) =>
          name !== "help"
        ),
      }
      : command.registeredArguments[0] === undefined
      ? null
      : valueOf(command.registeredArguments[0]),
  };
  return [
    node,
    ...below.flatMap((sub) => collect(sub, `${path} ${sub.name()}`.trim(), flags)),
  ];
}

function toFlag(option: Option): CompletionFlag {
  const takes = option.required || option.optional;
  return {
    names: [option.long, option.short].filter((name) => name !== undefined && name !== null),
    description: shortly(option.description),
    value: takes ? valueOf(option) : null,
  };
}

function valueOf(of: Argument | Option): Value {
  if (of.argChoices !== undefined) return { kind: "choices", choices: of.argChoices };
  const name = "flags" in of ? of.flags : of.name();
  if (/\bdir\b/.test(name)) return { kind: "folder" };
  if (/\bfile\b|\.pem\b/.test(name)) return { kind: "file" };
  return { kind: "text" };
}

/** The first part of a text, on one line: what fits beside a word. */
function shortly(text: string): string {
  return text.split(/[:;(]/, 1)[0]!.replace(/\s+/g, " ").trim();
}

/** For the shells of one syntax: the lines of a `case` that follow the words of the line down to the command it is in. */
export function casesOfCommands(nodes: readonly CompletionNode[]): string {
  return nodes.flatMap(({ path, commands }) =>
    commands.map(({ name }) => `      "${path} ${name}") at="${`${path} ${name}`.trim()}" ;;`)
  ).join("\n");
}

/** The same for the flag before the word that is being written: what its value may be is offered by `offer`. */
export function casesOfValues(nodes: readonly CompletionNode[], offer: (value: Value) => string): string {
  return nodes.flatMap(({ path, flags }) =>
    flags.flatMap(({ names, value }) =>
      value === null
        ? []
        : [`    ${names.map((name) => `"${path} ${name}"`).join("|")}) ${offer(value)}; return ;;`]
    )
  ).join("\n");
}
