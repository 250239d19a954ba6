import { stripVTControlCharacters } from "node:util";

/** A duration as a person reads it: `3.4 ms`, `182 ms`, `2.31 s`. */
export function showMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(ms < 100_000 ? 2 : 0)} s`;
}

/** An amount of bytes as a person reads it: `812 B`, `75.6 KB`, `3.42 MB`, `1,074 MB`. */
export function showBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1000).toFixed(1)} KB`;
  return `${bytes < 1e8 ? (bytes / 1e6).toFixed(2) : showCount(Math.round(bytes / 1e6))} MB`;
}

/** A number with its thousands apart: `12,345`. */
export function showCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** `1 file`, `2 files`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${showCount(count)} ${count === 1 ? one : many}`;
}

/** Pads to `width` columns, not counting colours. */
export function pad(text: string, width: number, side: "left" | "right" = "left"): string {
  const blank = " ".repeat(Math.max(0, width - stripVTControlCharacters(text).length));
  return side === "left" ? text + blank : blank + text;
}

/** Rows under each other in columns as wide as their widest cell; `sides` says on which side each column's text stands. */
export function columns(
  rows: readonly (readonly string[])[],
  sides: readonly ("left" | "right")[],
  gap = "   ",
): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => widths[i] = Math.max(widths[i] ?? 0, stripVTControlCharacters(cell).length));
  }
  return rows.map((row) =>
    row.map((cell, i) => pad(cell, widths[i] ?? 0, sides[i] ?? "left")).join(gap).trimEnd()
  );
}

/** The value below which the share `part` (0 to 1) of `values` lies; `NaN` for none. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(sorted.length * part) - 1))] ?? NaN;
}

/** The middle value; of an even number the lower of the two. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}
