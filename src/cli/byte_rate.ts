/** Bytes; powers of 1000 are written as the SI does, those of 1024 as the IEC does. */
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};
/** The lowest limit: below it a link could not even be kept alive. */
const MIN_BYTES_PER_SECOND = 1000;

/** What {@linkcode parseByteRate} takes, for messages. */
export const BYTE_RATE_RULE =
  "bytes a second, 1KB/s or more (2MB/s, 500KB/s, 1.5MiB/s, or a number of bytes), or 0 or none for no limit";

/**
 * Reads a limit: a number of bytes a second, with a unit or without; `0` or `none` for no limit, which is `null`. The case of a unit
 * counts, as `Mb` would be bits.
 *
 * @throws {Error} saying what is wrong with it.
 */
export function parseByteRate(value: string | number): number | null {
  const text = String(value).trim();
  const shown = typeof value === "string" ? JSON.stringify(value) : text;
  if (text === "none") return null;
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)(?:\/s)?$/.exec(text);
  const unit = match === null ? undefined : UNITS[match[2]!];
  if (match === null || unit === undefined) {
    throw new Error(`${shown} is ${whyNot(text, match?.[2])}`);
  }
  const bytesPerSecond = Math.round(Number(match[1]) * unit);
  if (Number(match[1]) === 0) return null;
  if (bytesPerSecond < MIN_BYTES_PER_SECOND) throw new Error(`${shown} is too little`);
  if (!Number.isSafeInteger(bytesPerSecond)) throw new Error(`${shown} is too much`);
  return bytesPerSecond;
}

function whyNot(text: string, unit: string | undefined): string {
  if (text.startsWith("-")) return "negative";
  if (unit === undefined) return "not a rate";
  if (/b(?:ps)?$/.test(unit)) return "not clear: a small b stands for bits";
  return `in an unknown unit, ${JSON.stringify(unit)}`;
}
