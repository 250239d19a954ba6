/**
 * Crockford's base 32 (https://www.crockford.com/base32.html): digits that survive being read aloud and typed, and that a QR code
 * holds in its compact alphanumeric mode.
 */
const DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const VALUES: ReadonlyMap<string, number> = new Map([
  ...[...DIGITS].map((digit, value) => [digit, value] as const),
  ...[["O", 0], ["I", 1], ["L", 1]] as const, // what people write instead
]);

/** Bytes as digits, five bits each, the highest first; the last digit is filled up with zero bits. */
export function toBase32(bytes: Uint8Array): string {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8 | byte) & 0xfff;
    for (bits += 8; bits >= 5;) text += DIGITS[value >> (bits -= 5) & 31];
  }
  return bits === 0 ? text : text + DIGITS[value << (5 - bits) & 31];
}

/** The bytes of {@linkcode toBase32}; upper and lower case are the same. What is left of the last digit is dropped. */
export function fromBase32(text: string): { readonly bytes: Uint8Array } | { readonly wrongDigit: string } {
  const bytes = new Uint8Array(Math.floor(text.length * 5 / 8));
  let at = 0;
  let bits = 0;
  let value = 0;
  for (const digit of text.toUpperCase()) {
    const digitValue = VALUES.get(digit);
    if (digitValue === undefined) return { wrongDigit: digit };
    value = (value << 5 | digitValue) & 0xfff;
    bits += 5;
    if (bits >= 8) bytes[at++] = value >> (bits -= 8) & 0xff;
  }
  return { bytes };
}
