import { type CompletionNode, flagsWithValue } from "./completion_tree.ts";

/** The completion script for PowerShell 5.1 and later. Where it offers nothing, PowerShell offers files itself. */
export function powershellCompletion(nodes: readonly CompletionNode[]): string {
  return `# PowerShell completion for mirrorsync. Load it in $PROFILE:
#   mirrorsync completions powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName @('mirrorsync', 'mirrorsync.exe') -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $withValue = @(${flagsWithValue(nodes).map(quote).join(", ")})
    $commands = @{
${nodes.map(({ path, commands }) => `        ${quote(path)} = ${tableOf(commands)}`).join("\n")}
    }
    $flags = @{
${
    nodes.map(({ path, flags }) =>
      `        ${quote(path)} = ${
        tableOf(flags.flatMap(({ names, description }) => names.map((name) => ({ name, description }))))
      }`
    ).join("\n")
  }
    }
    $choices = @{
${
    nodes.flatMap(({ path, argument }) =>
      argument?.kind === "choices"
        ? [
          `        ${quote(path)} = ${
            tableOf(argument.choices.map((name) => ({ name, description: name })))
          }`,
        ]
        : []
    ).join("\n")
  }
    }
    $at = ''
    $before = ''
    $elements = @($commandAst.CommandElements | Select-Object -Skip 1 |
        Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.Extent.Text })
    foreach ($word in $elements) {
        if ($withValue -notcontains $before) {
            $next = "$at $word".Trim()
            if ($commands.ContainsKey($next)) { $at = $next }
        }
        $before = $word
    }
    if ($withValue -contains $before) { return }
    # Assigned one by one: what an "if" gives back would lose the outer list of a list of one.
    $found = $commands[$at]
    if ($choices.ContainsKey($at)) { $found = $choices[$at] }
    if ($wordToComplete -like '-*') { $found = $flags[$at] }
    $found | Where-Object { $_ -and $_[0] -like "$wordToComplete*" } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterValue', $_[1])
    }
}
`;
}

/** A list of pairs. The comma before each keeps PowerShell from flattening it. */
function tableOf(words: readonly { readonly name: string; readonly description: string }[]): string {
  return `@(${
    words.map(({ name, description }) => `,@(${quote(name)}, ${quote(description || name)})`).join("; ")
  })`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
