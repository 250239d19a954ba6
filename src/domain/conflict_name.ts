import { nameOf, utf8Length } from "./relative_path.ts";

/** The longest name that the usual file systems hold, in bytes. */
const MAX_NAME_BYTES = 255;

/**
 * The path of a conflict copy: the reader's own version of `path`, kept beside it when a peer's version takes its place.
 * `notes/plan.txt` becomes `notes/plan.conflict-20261122-100000.txt`; the extension stays last, so the copy opens as before.
 *
 * @param atMs Time of the conflict, milliseconds of UTC.
 * @param attempt 0 for the first try; higher ones give other names, for when a copy of this second is there already.
 */
export function conflictPath(path: string, atMs: number, attempt: number): string {
  return nameWithMark(path, "conflict", atMs, attempt);
}

/** Whether `copy` is a name that {@linkcode conflictPath} gives `path`, at whatever time. */
export function isConflictCopyOf(copy: string, path: string): boolean {
  for (const match of copy.matchAll(/\.conflict-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(?:-(\d+))?/g)) {
    const [year, month, day, hours, minutes, seconds, attempt] = match.slice(1).map((text) =>
      Number(text ?? 1)
    );
    const atMs = Date.UTC(year!, month! - 1, day, hours, minutes, seconds);
    if (conflictPath(path, atMs, attempt! - 1) === copy) return true;
  }
  return false;
}

/** `path` with a word and a time before its extension, cut to what file systems hold; see {@linkcode conflictPath}. */
export function nameWithMark(path: string, word: string, atMs: number, attempt: number): string {
  const name = nameOf(path);
  const folder = path.slice(0, path.length - name.length);
  const dot = name.lastIndexOf(".");
  const stem = dot > 0 ? name.slice(0, dot) : name;
  const extension = dot > 0 ? name.slice(dot) : "";
  const stamp = new Date(atMs).toISOString().replace(/[-:]/g, "").replace("T", "-").slice(0, 15);
  const mark = `.${word}-${stamp}${attempt === 0 ? "" : `-${attempt + 1}`}`;
  if (utf8Length(mark + extension) >= MAX_NAME_BYTES) {
    return folder + cut(name, MAX_NAME_BYTES - utf8Length(mark)) + mark;
  }
  return folder + cut(stem, MAX_NAME_BYTES - utf8Length(mark + extension)) + mark + extension;
}

/** The longest prefix of `text` within `maxBytes`, never cutting a character in two. */
function cut(text: string, maxBytes: number): string {
  if (utf8Length(text) <= maxBytes) return text;
  let kept = "";
  let bytes = 0;
  for (const character of text) {
    bytes += utf8Length(character);
    if (bytes > maxBytes) break;
    kept += character;
  }
  return kept;
}
