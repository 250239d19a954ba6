/** A SHA-256 in lower-case hex, as it is kept and as it travels. */
export const HASH = /^[0-9a-f]{64}$/;

/** Whether a value is a SHA-256 in lower-case hex. */
export function isHash(value: unknown): value is string {
  return typeof value === "string" && HASH.test(value);
}
