import fc from "fast-check";

/** One number decides every run; another one can be given to look further or to repeat a failure. */
const given = Deno.env.get("MIRRORSYNC_FUZZ_SEED");
const runs = Deno.env.get("MIRRORSYNC_FUZZ_RUNS");
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);

/** Checks a property with a seed that every failure prints, and that `MIRRORSYNC_FUZZ_SEED` gives again. */
export async function check<T>(property: fc.IRawProperty<T>, numRuns: number): Promise<void> {
  try {
    await fc.assert(property, { seed, numRuns: runs === undefined ? numRuns : Number(runs) });
  } catch (error) {
    console.error(`again with: MIRRORSYNC_FUZZ_SEED=${seed} deno test -A --frozen tests/fuzz`);
    throw error;
  }
}

/** Text that is likely to hurt a parser of paths: separators, dots, drives, other Unicode forms, halves of characters. */
export const nastyPath: fc.Arbitrary<string> = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.array(
    fc.oneof(
      fc.constantFrom(
        ...[
          "/",
          "//",
          "\\",
          "..",
          ".",
          "...",
          "a",
          "A",
          "C:",
          ":",
          "\0",
          "\n",
          " ",
          "~",
          "é",
          "e\u0301",
          "🪞",
        ],
        ...["\ud800", "\udc00", "\u212b", "\u202e", ".mirrorsync-staging", "CON", "nul.txt", "x".repeat(255)],
        ..."?*<>|\"'%2e\u2215\uff0e\uff0f",
      ),
      fc.string({ unit: "grapheme", maxLength: 3 }),
    ),
    { maxLength: 20 },
  ).map((parts) => parts.join("")),
  fc.array(fc.constantFrom("..", ".", "", "a", "b", "sub"), { maxLength: 12 }).map((parts) =>
    parts.join("/")
  ),
);

/** Bytes in one stream, cut into pieces at random places. */
export function pieces(bytes: Uint8Array, cuts: readonly number[]): () => Promise<Uint8Array | null> {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let at = 0;
  return () => {
    if (at >= bytes.length) return Promise.resolve(null);
    const end = places.find((place) => place > at) ?? bytes.length;
    const piece = bytes.slice(at, end);
    at = end;
    return Promise.resolve(piece);
  };
}
