import { parseDuration } from "./duration.ts";

/** What {@linkcode parseTime} takes, for messages. */
export const TIME_RULE =
  '"2026-11-22 14:30" (this computer\'s time), "2026-11-22T13:30:00Z", a day, or how long ago: "2h", "3d"';

/**
 * Reads a time that has passed.
 *
 * @returns Milliseconds of UTC.
 * @throws {Error} saying what is wrong with it.
 */
export function parseTime(text: string, nowMs: number): number {
  const trimmed = text.trim();
  const ago = /[smhd]$/.test(trimmed) ? parseDuration(trimmed) : NaN;
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s*(Z|[+-]\d\d:?\d\d)?)?$/i
    .exec(trimmed);
  const said = match === null ? NaN : Date.parse(`${match[1]}T${match[2] ?? "00:00"}${match[3] ?? ""}`);
  // Through a date: what is longer ago than any date can be is no time.
  const ms = new Date(Number.isNaN(ago) ? said : nowMs - ago).getTime();
  if (Number.isNaN(ms)) throw new Error(`${JSON.stringify(text)} is no time`);
  if (ms > nowMs) throw new Error(`${JSON.stringify(text)} is still to come`);
  return ms;
}
