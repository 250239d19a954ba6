import { encodeFrame, lengthBytes } from "../../wire/streams.ts";
import { Prng } from "../../simulation/prng.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const NUMBERS: readonly string[] = [
  ...[
    "0",
    "-0",
    "-1",
    "1",
    "1.5",
    "0.1",
    "63",
    "64",
    "255",
    "256",
    "4096",
    "65536",
    "2147483647",
    "2147483648",
  ],
  ...[
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740991",
  ],
  ...[
    "18446744073709551615",
    "1e3",
    "1e21",
    "1e308",
    "1e999",
    "-1e999",
    "5e-324",
    "1".repeat(400),
    "67108864",
  ],
];
const STRINGS: readonly string[] = [
  ...[
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\udc00x"',
    '"\\u202e"',
    '"é"',
    '"e\\u0301"',
    '"🪞"',
    '"\\n"',
    '"-1"',
    '"1"',
  ],
  ...[
    '"__proto__"',
    '"constructor"',
    '"toString"',
    '"create"',
    '"delete"',
    '"move"',
    '"piece"',
    '"hello"',
    '"ok"',
  ],
  ...[
    '".."',
    '"../x"',
    '"/"',
    '"a//b"',
    '"a/../b"',
    '"C:\\\\x"',
    '".mirrorsync-staging/x"',
    '"a\\u0000b"',
    '"."',
  ],
  ...[
    '"0000-01-01T00:00:00Z"',
    '"9999-12-31T23:59:60+23:59"',
    '"2026-02-30T00:00:00Z"',
    '"2026-11-22T10:00:00Z"',
  ],
  ...['"gzip"', '"script"', '"script+gzip"', '"plain"', '"file"', '"folder"'],
];
const OTHERS: readonly string[] = [
  ...["null", "true", "false", "[]", "{}", "[null]", "[[]]", "[{}]", '{"__proto__":{"length":1}}', "[1,2,3]"],
  ...['{"constructor":{"prototype":{}}}', '{"toString":null,"valueOf":null}', '{"length":-1}', '{"":0}'],
];

/** A JSON text that a place in a real one is not expected to hold, or holds at its limits. */
export function extremeJson(random: Prng): string {
  switch (random.int(0, 9)) {
    case 0:
    case 1:
    case 2:
      return random.pick(NUMBERS);
    case 3:
    case 4:
    case 5:
      return random.pick(STRINGS);
    case 6:
      return JSON.stringify(random.bytes(random.pick([1, 31, 32, 33, 64])).toHex());
    case 7:
      return JSON.stringify("x".repeat(random.pick([63, 64, 65, 255, 256, 257, 4096, 4097, 9000])));
    case 8: {
      const depth = random.pick([2, 10, 100, 1000, 5000]);
      return random.chance(0.5)
        ? "[".repeat(depth) + "]".repeat(depth)
        : '{"a":'.repeat(depth) + "0" + "}".repeat(depth);
    }
    default:
      return random.pick(OTHERS);
  }
}

/** A JSON text in which some values were replaced, members left out, doubled or added. */
export function changedJson(value: unknown, random: Prng): string {
  const count = nodesIn(value);
  const changes = random.int(1, 3);
  const at = new Set(Array.from({ length: changes }, () => random.int(0, count - 1)));
  let node = 0;
  const write = (value: unknown): string => {
    if (at.has(node++) && (node > 1 || random.chance(0.1))) {
      node += nodesIn(value) - 1;
      return extremeJson(random);
    }
    if (Array.isArray(value)) {
      const items = value.map(write);
      if (items.length > 0 && random.chance(0.05)) items.push(...items.slice(0, random.int(1, 50)));
      return `[${items.join(",")}]`;
    }
    if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
    const members = Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}:${write(each)}`);
    if (random.chance(0.1) && members.length > 0) members.splice(random.int(0, members.length - 1), 1);
    if (random.chance(0.1)) {
      const key = random.pick([
        ...Object.keys(value),
        "__proto__",
        "constructor",
        "id",
        "action",
        "status",
        "size",
      ]);
      members.push(`${JSON.stringify(key)}:${extremeJson(random)}`);
    }
    return `{${members.join(",")}}`;
  };
  return write(value);
}

function nodesIn(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, each) => sum + nodesIn(each), 1);
}

/** Bytes with a few changes of the kinds that storms, disks and enemies make. */
export function changedBytes(
  bytes: Uint8Array,
  random: Prng,
  others: readonly Uint8Array[] = [],
): Uint8Array {
  let changed: Uint8Array = bytes.slice();
  for (let left = random.int(1, 4); left > 0; left--) changed = changedOnce(changed, random, others);
  return changed;
}

function changedOnce(bytes: Uint8Array, random: Prng, others: readonly Uint8Array[]): Uint8Array {
  const place = () => random.int(0, Math.max(0, bytes.length - 1));
  switch (random.int(0, 9)) {
    case 0:
    case 1: {
      if (bytes.length > 0) bytes[place()]! ^= 1 << random.int(0, 7);
      return bytes;
    }
    case 2: {
      if (bytes.length > 0) bytes[place()] = random.pick([0, 1, 0x7f, 0x80, 0xff, random.int(0, 255)]);
      return bytes;
    }
    case 3:
      return bytes.slice(0, random.int(0, bytes.length));
    case 4: // without a part
      return spliced(bytes, place(), random.int(1, 16), new Uint8Array(0));
    case 5: { // a part repeated
      const from = place();
      const part = bytes.slice(from, from + random.int(1, 64));
      return spliced(bytes, from, 0, repeated(part, random.pick([1, 1, 2, 20])));
    }
    case 6: // a part of another one
      return spliced(
        bytes,
        place(),
        random.int(0, 64),
        partOf(others.length > 0 ? random.pick(others) : bytes, random),
      );
    case 7:
      return spliced(bytes, place(), 0, random.bytes(random.int(1, 9)));
    case 8: // a number of eight or four bytes
      return overwritten(bytes, place(), extremeNumber(random).subarray(random.pick([0, 4])));
    default:
      return overwritten(bytes, place(), random.pick(BAD_UTF8));
  }
}

const BAD_UTF8: readonly Uint8Array[] = ["c328", "eda080", "f4908080", "c080", "ff", "efbbbf", "e28080ae"]
  .map((hex) => Uint8Array.fromHex(hex));

function extremeNumber(random: Prng): Uint8Array {
  const power = 2n ** BigInt(random.int(0, 63));
  return lengthBytes(BigInt.asUintN(64, power + BigInt(random.int(-1, 1))));
}

function partOf(bytes: Uint8Array, random: Prng): Uint8Array {
  const from = random.int(0, Math.max(0, bytes.length - 1));
  return bytes.slice(from, from + random.int(1, 200));
}

function repeated(part: Uint8Array, times: number): Uint8Array {
  const all = new Uint8Array(part.length * times);
  for (let i = 0; i < times; i++) all.set(part, i * part.length);
  return all;
}

function spliced(bytes: Uint8Array, at: number, without: number, put: Uint8Array): Uint8Array {
  const rest = bytes.subarray(Math.min(bytes.length, at + without));
  const all = new Uint8Array(at + put.length + rest.length);
  all.set(bytes.subarray(0, at));
  all.set(put, at);
  all.set(rest, at + put.length);
  return all;
}

function overwritten(bytes: Uint8Array, at: number, put: Uint8Array): Uint8Array {
  bytes.set(put.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
  return bytes;
}

/** JSON in bytes: its values changed, or its bytes, or both. */
export function changedJsonBytes(
  bytes: Uint8Array,
  random: Prng,
  others: readonly Uint8Array[] = [],
): Uint8Array {
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(bytes));
  } catch {
    return changedBytes(bytes, random, others);
  }
  const text = random.chance(0.8) ? encoder.encode(changedJson(value, random)) : bytes;
  return text === bytes || random.chance(0.1) ? changedBytes(text, random, others) : text;
}

/** A frame of which header, content, lengths or anything else was changed. */
export function changedFrame(
  frame: { readonly header: Uint8Array; readonly content: Uint8Array; readonly bytes: Uint8Array },
  random: Prng,
  others: readonly Uint8Array[],
): Uint8Array {
  switch (random.int(0, 5)) {
    case 0:
      return changedBytes(frame.bytes, random, others);
    case 1: { // one of the lengths
      const at = random.pick([0, 8 + frame.header.length]);
      return overwritten(frame.bytes.slice(), at, extremeNumber(random));
    }
    case 2:
      return framed(frame.header, changedBytes(frame.content, random, others));
    default: {
      const header = changedJsonBytes(frame.header, random);
      return framed(header, random.chance(0.2) ? changedBytes(frame.content, random, others) : frame.content);
    }
  }
}

/** A frame with right lengths around whatever header. */
export function framed(header: Uint8Array, content: Uint8Array): Uint8Array {
  const empty = encodeFrame({}, null);
  const all = new Uint8Array(header.length + content.length + empty.length - 2);
  all.set(lengthBytes(BigInt(header.length)));
  all.set(header, 8);
  all.set(lengthBytes(BigInt(content.length)), 8 + header.length);
  all.set(content, 16 + header.length);
  return all;
}

/** A text with a few changes: characters, numbers and lines. */
export function changedText(text: string, random: Prng, others: readonly string[] = []): string {
  let changed = text;
  for (let left = random.int(1, 4); left > 0; left--) changed = textChangedOnce(changed, random, others);
  return changed;
}

const PIECES: readonly string[] = [
  ...[
    "\0",
    "\ud800",
    "\udc00",
    "\u202e",
    "\ufeff",
    "\n",
    "\r\n",
    " ",
    "\t",
    '"',
    "'",
    "\\",
    "=",
    "[",
    "]",
    "{",
    "}",
  ],
  ...[
    "#",
    "-",
    "_",
    ".",
    "/",
    "*",
    "**",
    "?",
    "!",
    ":",
    "%",
    "é",
    "e\u0301",
    "🪞",
    "ß",
    "ŉ",
    "__proto__",
    "1e999",
  ],
  ...[
    "none",
    "nan",
    "inf",
    "0",
    "-1",
    "9".repeat(30),
    "9".repeat(400),
    "constructor",
    "toString",
    "MS1-",
    "MS01-",
  ],
  ...[
    ...["BEGIN CERTIFICATE", "END CERTIFICATE", "BEGIN PRIVATE KEY"].map((line) => `-----${line}-----`),
    '"""',
    "'''",
    "[[x]]",
  ],
];

function textChangedOnce(text: string, random: Prng, others: readonly string[]): string {
  const at = random.int(0, text.length);
  switch (random.int(0, 8)) {
    case 0:
      return text.slice(0, at) + random.pick(PIECES) + text.slice(at);
    case 1:
      return text.slice(0, at) + random.pick(PIECES) + text.slice(at + random.int(1, 8));
    case 2:
      return text.slice(0, at) + text.slice(at + random.int(1, 20));
    case 3:
      return text.slice(0, at);
    case 4: { // a number
      const numbers = [...text.matchAll(/\d+(?:\.\d+)?/g)];
      if (numbers.length === 0) return text + random.pick(NUMBERS);
      const number = random.pick(numbers);
      return text.slice(0, number.index) + random.pick(NUMBERS) + text.slice(number.index + number[0].length);
    }
    case 5: { // a line twice
      const lines = text.split("\n");
      const line = random.int(0, lines.length - 1);
      lines.splice(random.int(0, lines.length), 0, lines[line]!);
      return lines.join("\n");
    }
    case 6: {
      const part = text.slice(at, at + random.int(1, 20));
      return text.slice(0, at) + part.repeat(random.pick([1, 2, 50])) + text.slice(at);
    }
    case 7: {
      const other = others.length > 0 ? random.pick(others) : text;
      const from = random.int(0, other.length);
      return text.slice(0, at) + other.slice(from, from + random.int(1, 60)) + text.slice(at);
    }
    default:
      return text.slice(0, at) + String.fromCharCode(random.int(0, 0xffff)) + text.slice(at + 1);
  }
}
