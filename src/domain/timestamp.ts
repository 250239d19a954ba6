import { MirrorError } from "./mirror_error.ts";

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const MIN_MS = Date.parse("0000-01-01T00:00:00Z");
const MAX_MS = Date.parse("9999-12-31T23:59:59.999Z");

/**
 * Reads a time of RFC 3339, section 5.6. Digits past the millisecond are cut off; a leap second is the start of the next minute.
 *
 * @returns Milliseconds of UTC.
 * @throws {MirrorError} `bad_header`.
 */
export function parseTimestamp(text: string): number {
  const match = RFC3339.exec(text);
  if (match === null) throw bad(text);
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const millisecond = Number((match[7] ?? "0").slice(0, 3).padEnd(3, "0"));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  if (month < 1 || month > 12 || date.getUTCDate() !== day || hour > 23 || minute > 59 || second > 60) {
    throw bad(text);
  }
  const offsetHour = Number(match[9] ?? 0), offsetMinute = Number(match[10] ?? 0);
  if (offsetHour > 23 || offsetMinute > 59) throw bad(text);
  const offsetMs = (match[8] === "-" ? -1 : 1) * (offsetHour * 60 + offsetMinute) * 60_000;
  date.setUTCHours(hour, minute, second, millisecond);
  return date.getTime() - offsetMs;
}

function bad(text: string): MirrorError {
  return new MirrorError(
    "bad_header",
    `the field "timestamp" ${JSON.stringify(text.slice(0, 60))} is not a time of RFC 3339`,
  );
}

/** Writes a time as RFC 3339 in UTC; times outside the years 0 to 9999, which it cannot express, become the nearest one. */
export function formatTimestamp(ms: number): string {
  return new Date(Math.min(Math.max(ms, MIN_MS), MAX_MS)).toISOString();
}
