import pc from "picocolors";
import { columns, showMs } from "../support/text.ts";

/** What was measured, for one program; `null` where it was not. Times in milliseconds. */
export interface Measured {
  readonly MirrorSync: number | null;
  readonly rsync: number | null;
  readonly Syncthing: number | null;
}

/** One line of the table. */
export interface Row extends Measured {
  readonly part: string;
  readonly what: string;
  readonly unit: "ms" | "MB" | "%";
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

const HEAD = ["", "MirrorSync", "rsync", "Syncthing", "target", "", ""];

export function asText({ machine, rows, problems }: Report): string {
  const sides = ["left", "right", "right", "right", "left", "left", "left"] as const;
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
    line(["", "MirrorSync", "rsync", "Syncthing", "target", "", "remarks"]),
    line(["---", "---:", "---:", "---:", "---", "---", "---"]),
    ...rows.map((row) => line(cells(row, false))),
    ...(problems.length > 0 ? ["", ...problems.map((text) => `- problem: ${text}`)] : []),
    "",
  ].join("\n");
}

function cells(row: Row, colours: boolean): string[] {
  const verdict = row.reached === null ? "" : row.reached ? "pass" : "miss";
  return [
    row.what,
    ...[row.MirrorSync, row.rsync, row.Syncthing].map((value) =>
      value === null ? "–" : show(value, row.unit)
    ),
    row.target,
    !colours ? verdict : row.reached === true ? pc.green(verdict) : pc.red(verdict),
    colours ? pc.dim(row.note) : row.note,
  ];
}

function show(value: number, unit: Row["unit"]): string {
  return unit === "ms"
    ? showMs(value)
    : unit === "MB"
    ? `${(value / 1e6).toFixed(0)} MB`
    : `${value.toFixed(2)} %`;
}
