import { MirrorError } from "../domain/mirror_error.ts";

/**
 * How a stretch of a file is made: an instruction after the other, each a number `2 × length` for so many bytes that follow, or
 * `2 × length + 1` for so many bytes of the base, followed by how far they begin from where the last such stretch ended (at first:
 * from the stretch's own offset in the new file), as `2 × distance`, or `-2 × distance - 1` when it is backwards. Numbers are in
 * LEB128: seven bits a byte, the lowest first, the high bit set on all but the last.
 */
export class ScriptWriter {
  /** Where in the new file the stretch begins. */
  readonly offset: number;
  /** Bytes of the new file that the stretch makes. */
  length = 0;
  /** Those of them that are given, not copied. */
  literalBytes = 0;
  /** What the literal bytes are collected in. */
  readonly room: Uint8Array;
  readonly #steps: { from: number; length: number }[] = [];

  /** @param room Takes the literal bytes; as long as the most of them that it will be given. */
  constructor(offset: number, room: Uint8Array) {
    this.offset = offset;
    this.room = room;
  }

  /** Steps so far: a script that has many of them becomes long even without literals. */
  get steps(): number {
    return this.#steps.length;
  }

  copy(from: number, length: number): void {
    this.length += length;
    const last = this.#steps.at(-1);
    if (last !== undefined && last.from >= 0 && last.from + last.length === from) last.length += length;
    else this.#steps.push({ from, length });
  }

  literal(bytes: Uint8Array): void {
    this.room.set(bytes, this.literalBytes);
    this.length += bytes.length;
    this.literalBytes += bytes.length;
    const last = this.#steps.at(-1);
    if (last !== undefined && last.from < 0) last.length += bytes.length;
    else this.#steps.push({ from: -1, length: bytes.length });
  }

  /** Just the bytes, when nothing is copied. */
  literals(): Uint8Array {
    return this.room.subarray(0, this.literalBytes);
  }

  finish(): Uint8Array {
    const script = new Uint8Array(this.literalBytes + this.#steps.length * 16);
    let at = 0, taken = 0, expected = this.offset;
    const number = (value: number) => {
      let left = value;
      for (; left >= 128; left = Math.floor(left / 128)) script[at++] = left % 128 | 128;
      script[at++] = left;
    };
    for (const { from, length } of this.#steps) {
      if (from < 0) {
        number(length * 2);
        script.set(this.room.subarray(taken, taken + length), at);
        taken += length;
        at += length;
        continue;
      }
      number(length * 2 + 1);
      number(from >= expected ? (from - expected) * 2 : (expected - from) * 2 - 1);
      expected = from + length;
    }
    return script.subarray(0, at);
  }
}

/** One step of a script: bytes that are given, or a stretch of the base. */
export type Instruction =
  | { readonly kind: "literal"; readonly bytes: Uint8Array }
  | { readonly kind: "copy"; readonly from: number; readonly length: number };

/**
 * Reads a script; gives each step after it was found to be in order.
 *
 * @param stretch Where in the new file it begins, how many bytes it must make, and how many the base has.
 * @throws {MirrorError} `bad_content` when it names bytes beyond the base, or makes more or fewer bytes than it should.
 */
export function* readScript(
  script: Uint8Array,
  stretch: { readonly offset: number; readonly length: number; readonly baseBytes: number },
): IterableIterator<Instruction> {
  let at = 0, left = stretch.length, expected = stretch.offset;
  const number = () => {
    let value = 0;
    for (let shift = 1;; shift *= 128) {
      const byte = script[at++];
      if (byte === undefined) throw bad("it ends inside a number");
      value += (byte & 127) * shift;
      if (!Number.isSafeInteger(value)) throw bad("a number in it is 2^53 or more");
      if (byte < 128) return value;
      if (shift > 2 ** 49) throw bad("a number in it is longer than eight bytes");
    }
  };
  while (at < script.length) {
    const token = number();
    const length = Math.floor(token / 2);
    if (length === 0 || length > left) throw bad("it makes more bytes than it should, or none");
    left -= length;
    if (token % 2 === 0) {
      if (length > script.length - at) throw bad("it ends inside its bytes");
      yield { kind: "literal", bytes: script.subarray(at, at + length) };
      at += length;
      continue;
    }
    const signed = number();
    const from = expected + (signed % 2 === 0 ? signed / 2 : -(signed + 1) / 2);
    if (from < 0 || from + length > stretch.baseBytes) throw bad("it names bytes beyond the base");
    expected = from + length;
    yield { kind: "copy", from, length };
  }
  if (left > 0) throw bad("it makes fewer bytes than it should");
}

function bad(why: string): MirrorError {
  return new MirrorError("bad_content", `the recipe of a piece is wrong: ${why}`);
}
