/** Bytes; powers of 1000 are written as the SI does, those of 1024 as the IEC does. */
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** What {@linkcode parseByteSize} takes, for messages. */
export const BYTE_SIZE_RULE = "a number of bytes (20GB, 500MB, 1.5GiB, 1000000), or 0 or none for no limit";

/**
 * Reads a number of bytes, with a unit or without; `0` or `none` is `null`. The case of a unit counts, as `Mb` would be bits.
 *
 * @param as What it should be, for the message, and what may follow it.
 * @throws {Error} saying what is wrong with it.
 */
export function parseByteSize(
  value: string | number,
  as: { readonly what: string; readonly end: string } = { what: "a size", end: "" },
): number | null {
  const text = String(value).trim();
  const shown = typeof value === "string" ? JSON.stringify(value) : text;
  if (text === "none") return null;
  const number = as.end !== "" && text.endsWith(as.end) ? text.slice(0, -as.end.length) : text;
  const match = /^(\d+(?:\.\d+)?) ?([A-Za-z]*)$/.exec(number);
  // Its own, as every object also has a `constructor`.
  const unit = match !== null && Object.hasOwn(UNITS, match[2]!) ? UNITS[match[2]!] : undefined;
  if (match === null || unit === undefined) {
    throw new Error(`${shown} is ${whyNot(text, match?.[2], as.what)}`);
  }
  if (Number(match[1]) === 0) return null;
  const bytes = Math.round(Number(match[1]) * unit);
  if (!Number.isSafeInteger(bytes)) throw new Error(`${shown} is too much`);
  if (bytes === 0) throw new Error(`${shown} is too little`);
  return bytes;
}

function whyNot(text: string, unit: string | undefined, what: string): string {
  if (text.startsWith("-")) return "negative";
  if (unit === undefined) return `not ${what}`;
  if (/b(?:ps)?$/.test(unit)) return "not clear: a small b stands for bits";
  return `in an unknown unit, ${JSON.stringify(unit)}`;
}
