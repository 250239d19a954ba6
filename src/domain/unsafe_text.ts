/**
 * Everything that could end a line, move the cursor or change the direction of what follows, and halves of surrogate pairs: what
 * must not reach a terminal as it is.
 */
export const UNSAFE_TEXT =
  // deno-lint-ignore no-control-regex -- control characters are exactly what is meant
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
