import pc from "picocolors";
import { columns, showBytes, showMs } from "../support/text.ts";

/** What runs all the time. */
export type PairName = "MirrorSync" | "Syncthing";
/** What is called for each transfer. */
export type CommandName = "rsync" | "Unison";
export type ToolName = PairName | CommandName;

/** All that is measured, in the order of the table. */
const TOOLS: readonly ToolName[] = ["MirrorSync", "rsync", "Syncthing", "Unison"];

/** What was measured, for each tool; `null` where it was not. Times in milliseconds, sizes in bytes. */
export type Measured = Readonly<Record<ToolName, number | null>>;

/** One line of the table. */
export interface Row extends Measured {
  readonly part: string;
  readonly what: string;
  readonly unit: "ms" | "B" | "MB" | "%";
  /** The target as text, and whether MirrorSync reaches it; `null` when there is none or it cannot be told. */
  readonly target: string;
  readonly reached: boolean | null;
  /** A remark: ratios, spread, what went wrong. */
  readonly note: string;
}

/** All that a run of the bench found. */
export interface Report {
  readonly machine: readonly (readonly [string, string])[];
  readonly rows: readonly Row[];
  /** What could not be measured, or was wrong, and why. */
  readonly problems: readonly string[];
}

const HEAD = ["", ...TOOLS, "target", "", ""];

export function asText({ machine, rows, problems }: Report): string {
  const sides = ["left", ...TOOLS.map(() => "right" as const), "left", "left", "left"] as const;
  const table = columns([HEAD.map((cell) => pc.dim(cell)), ...rows.map((row) => cells(row, true))], sides);
  return [
    ...machine.map(([name, value]) => `${pc.dim(name.padEnd(12))} ${value}`),
    "",
    ...table,
    ...(problems.length > 0 ? ["", ...problems.map((text) => `${pc.yellow("problem:")} ${text}`)] : []),
  ].join("\n");
}

export function asMarkdown({ machine, rows, problems }: Report): string {
  const line = (parts: readonly string[]) => `| ${parts.join(" | ")} |`;
  return [
    ...machine.map(([name, value]) => `- ${name}: ${value}`),
    "",
    line(["", ...TOOLS, "target", "", "remarks"]),
    line(["---", ...TOOLS.map(() => "---:"), "---", "---", "---"]),
    ...rows.map((row) => line(cells(row, false))),
    ...(problems.length > 0 ? ["", ...problems.map((text) => `- problem: ${text}`)] : []),
    "",
  ].join("\n");
}

function cells(row: Row, colours: boolean): string[] {
  const verdict = row.reached === null ? "" : row.reached ? "pass" : "miss";
  return [
    row.what,
    ...TOOLS.map((tool) => row[tool] === null ? "–" : show(row[tool], row.unit)),
    row.target,
    !colours ? verdict : row.reached === true ? pc.green(verdict) : pc.red(verdict),
    colours ? pc.dim(row.note) : row.note,
  ];
}

function show(value: number, unit: Row["unit"]): string {
  switch (unit) {
    case "ms":
      return showMs(value);
    case "B":
      return showBytes(value);
    case "MB":
      return `${(value / 1e6).toFixed(0)} MB`;
    case "%":
      return `${value.toFixed(2)} %`;
  }
}
