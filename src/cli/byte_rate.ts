import { MIN_RATE_BYTES } from "../wire/hello.ts";
import { parseByteSize } from "./byte_size.ts";

/** What {@linkcode parseByteRate} takes, for messages. */
export const BYTE_RATE_RULE =
  "bytes a second, 1KB/s or more (2MB/s, 500KB/s, 1.5MiB/s, or a number of bytes), or 0 or none for no limit";

/**
 * Reads a limit: a number of bytes a second, with a unit or without; `0` or `none` for no limit, which is `null`.
 *
 * @throws {Error} saying what is wrong with it.
 */
export function parseByteRate(value: string | number): number | null {
  const bytes = parseByteSize(value, { what: "a rate", end: "/s" });
  if (bytes !== null && bytes < MIN_RATE_BYTES) {
    throw new Error(`${typeof value === "string" ? JSON.stringify(value) : value} is too little`);
  }
  return bytes;
}
