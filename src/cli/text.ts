/** Pure functions that make text for people: escaped, aligned, cut to a width. */
import prettyBytes from "pretty-bytes";
import { UNSAFE_TEXT } from "../domain/unsafe_text.ts";

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapeCharacter(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Text that stays on its line and moves no cursor, whatever file names or peers' messages are in it. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE_TEXT, escapeCharacter);
}

/**
 * A path as it is shown: as it is where that is clear, in double quotes with escapes where it is not (control characters,
 * spaces at an end, quotes at the start), so that two different paths never look the same.
 */
export function showPath(path: string): string {
  const escaped = escapeText(path);
  if (escaped === path && path !== "" && !/^["\s]|\s$/.test(path)) return path;
  return `"${escapeText(path.replace(/["\\]/g, "\\$&"))}"`;
}

/** Bytes as people read them: `1.2 MB`. */
export function showBytes(bytes: number): string {
  return prettyBytes(bytes);
}

/** `1 path`, `2 paths`, `1,234 paths`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** A time in UTC to the second. */
export function showTime(ms: number): string {
  return jsonTime(ms).replace(/\.\d+Z$/, "Z");
}

/** A time as it stands in JSON: RFC 3339 in UTC, to the millisecond. */
export function jsonTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? new Date(0).toISOString() : date.toISOString();
}

/** {@linkcode jsonTime}, of a time that there may not be. */
export function jsonTimeOrNull(ms: number | null): string | null {
  return ms === null ? null : jsonTime(ms);
}

/** A length of time in one or two units: `40 ms`, `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function showDuration(ms: number): string {
  if (ms < 95) return `${Math.round(ms)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  for (
    const [limit, big, bigName, small, smallName] of [
      [3600, 60, "min", 1, "s"],
      [86_400, 3600, "h", 60, "min"],
      [Infinity, 86_400, "d", 3600, "h"],
    ] as const
  ) {
    if (seconds >= limit) continue;
    const rest = Math.floor((seconds % big) / small);
    return `${Math.floor(seconds / big)} ${bigName}${rest === 0 ? "" : ` ${rest} ${smallName}`}`;
  }
  return `${seconds} s`;
}

/** A word for a POSIX shell, in quotes where it needs them. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Made when it is first needed: that takes longer than most commands do. */
let segmenter: Intl.Segmenter | null = null;

function graphemesOf(text: string): Intl.Segments {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" });
  return segmenter.segment(text);
}

const WIDE =
  /^(?:\p{Emoji_Presentation}|.\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}])/u;

/** Columns that text without control characters takes on a terminal. */
export function displayWidth(text: string): number {
  // deno-lint-ignore no-control-regex -- ASCII is the quick case
  if (/^[\u0000-\u007e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemesOf(text)) width += segmentWidth(segment);
  return width;
}

function segmentWidth(segment: string): number {
  if (WIDE.test(segment)) return 2;
  return /^\p{M}/u.test(segment) ? 0 : 1;
}

/** Text cut to at most `columns` columns, with `…` where something was left out: at the start, where a path says least. */
export function cutStart(text: string, columns: number): string {
  if (displayWidth(text) <= columns) return text;
  if (columns < 1) return "";
  const segments = [...graphemesOf(text)].map((part) => part.segment);
  let width = 1;
  let from = segments.length;
  while (from > 0) {
    width += segmentWidth(segments[from - 1]!);
    if (width > columns) break;
    from--;
  }
  return "…" + segments.slice(from).join("");
}

/** `text` with spaces after it up to `columns` columns. */
export function padTo(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - displayWidth(text)));
}

/** Rows as aligned columns with two spaces between them; the last column is not padded. */
export function table(rows: readonly (readonly string[])[], indent = ""): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, i) => {
      if (i < row.length - 1) widths[i] = Math.max(widths[i] ?? 0, displayWidth(cell));
    });
  }
  return rows.map((row) =>
    (indent + row.map((cell, i) => i < row.length - 1 ? padTo(cell, widths[i] ?? 0) : cell).join("  "))
      .trimEnd()
  );
}
