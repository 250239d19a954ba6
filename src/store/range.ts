/**
 * The half-open range of paths, in the byte order that SQLite compares text by, that holds exactly what lies below `folder`
 * (`""`: everything). `0` is the character after `/`.
 */
export function rangeBelow(folder: string): [low: string, high: string] {
  return folder === "" ? ["", "\u{10FFFF}"] : [`${folder}/`, `${folder}0`];
}
