import assert from "node:assert/strict";
import type fc from "fast-check";
import { FileError } from "../../../src/domain/ports.ts";
import { MirrorError } from "../../../src/domain/mirror_error.ts";
import { Prng } from "../../simulation/prng.ts";

/** Something that reads what it did not write, and what is thrown at it. */
export interface Target {
  readonly name: string;
  /** How many of the inputs are for it, beside the shares of the others. */
  readonly share: number;
  /** Inputs that fast-check makes; those are a quarter of all where there are any. */
  readonly arbitrary?: fc.Arbitrary<Uint8Array>;
  /** An input out of a real one that was changed. */
  readonly mutated: (random: Prng) => Uint8Array;
  /**
   * Reads an input. All chance in it comes from the input, so that the input alone is enough to repeat it.
   *
   * @throws what the input has broken; a typed refusal is none and stays inside.
   */
  readonly read: (input: Uint8Array) => void | Promise<void>;
}

/** Chance that an input decides by itself. */
export function chanceIn(input: Uint8Array): Prng {
  let hash = 0x811c9dc5;
  for (const byte of input) hash = Math.imul(hash ^ byte, 0x01000193);
  return new Prng(`${input.length} ${hash >>> 0}`);
}

/** Runs a parser; a refusal must be a `MirrorError` with one of the codes. `null` after one. */
export async function typed<T>(codes: readonly string[], work: () => T | Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    mustBeTyped(codes, error);
    return null;
  }
}

/** The same for what does not wait. */
export function typedNow<T>(codes: readonly string[], work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    mustBeTyped(codes, error);
    return null;
  }
}

function mustBeTyped(codes: readonly string[], error: unknown): void {
  if (error instanceof FileError) return;
  if (!(error instanceof MirrorError)) {
    throw new Error(`not a typed error: ${error instanceof Error ? error.stack : String(error)}`, {
      cause: error,
    });
  }
  assert(
    codes.includes(error.code),
    `the code ${error.code} is not one of ${codes.join(", ")}: ${error.message}`,
  );
  assert(error.message.length < 20_000, `a message of ${error.message.length} characters`);
}

/** A text as its UTF-16 units, so that halves of characters survive. */
export function unitsOf(text: string): Uint8Array {
  const units = new Uint8Array(text.length * 2);
  const view = new DataView(units.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(i * 2, text.charCodeAt(i));
  return units;
}

/** The text of {@linkcode unitsOf}. */
export function textOf(units: Uint8Array): string {
  const parts: string[] = [];
  for (let i = 0; i + 1 < units.length; i += 2) {
    parts.push(String.fromCharCode(units[i]! << 8 | units[i + 1]!));
  }
  return parts.join("");
}

/** Up to this many bytes a stream may come byte by byte: for more of them that costs much and shows nothing new. */
const BYTE_BY_BYTE = 500;

/** The bytes in one stream, cut into pieces at places that `random` chooses; sometimes byte by byte, sometimes with empty ones. */
export function inPieces(bytes: Uint8Array, random: Prng): () => Promise<Uint8Array | null> {
  const most = random.pick([...(bytes.length <= BYTE_BY_BYTE ? [1, 2, 7] : []), 64, 1000, bytes.length || 1]);
  let at = 0;
  return () => {
    if (at >= bytes.length) return Promise.resolve(null);
    const end = at + random.int(random.chance(0.05) ? 0 : 1, most);
    const piece = bytes.slice(at, end);
    at = Math.min(end, bytes.length);
    return Promise.resolve(piece);
  };
}
