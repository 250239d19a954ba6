const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads a length of time: a number of seconds, or a number with `ms`, `s`, `m`, `h` or `d`.
 *
 * @returns Milliseconds; `NaN` for anything else, and for more than can be counted.
 */
export function parseDuration(value: string | number): number {
  if (typeof value === "number") return counted(value * 1000);
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(value.trim());
  return match === null ? NaN : counted(Number(match[1]) * UNITS[match[2] ?? "s"]!);
}

function counted(ms: number): number {
  const whole = Math.round(ms);
  return Number.isSafeInteger(whole) ? whole : NaN;
}

/** The shortest text that {@linkcode parseDuration} reads as `ms`. */
export function formatDuration(ms: number): string {
  for (const unit of ["d", "h", "m", "s"]) {
    if (ms > 0 && ms % UNITS[unit]! === 0) return `${ms / UNITS[unit]!}${unit}`;
  }
  return `${ms}ms`;
}
