import { gzipSync } from "node:zlib";
import { sha256 } from "../../helpers/tree.ts";
import type { Dice } from "./dice.ts";

/** Where a hostile peer would like to get to. */
export interface Targets {
  /** Absolute paths that are none of its business. */
  readonly absolute: readonly string[];
  /** Symlinks at the top of `synced/`, which lead out of it, to folders and to files. */
  readonly symlinks: readonly string[];
  /** SHA-256 of contents that it must not get: of the home, of `watched/`, of the owner's own files in `synced/`. */
  readonly hashes: readonly string[];
}

const NAMES = ["a", "b", "c.txt", "d", "sub", "é", "🪞", "mine.txt", "A", "run.sh", "x y", "-", "~"];
const BAD_NAMES = [
  ...["..", ".", "", "\0", "a\0b", "C:", "c:\\x", "\\\\host\\share", "..\\..", "e\u0301", "\ud800", "\u202e"],
  ...[".mirrorsync-staging", ".MirrorSync-Staging", ".mirrorsync-repair", ".mirrorsyncignore", ".mirrorsync"],
  ...["CON", "nul.txt", "a.", "a ", "n".repeat(256), "é".repeat(128), "%2e%2e", "\u2215", "\u001b[2J", "\n"],
];

/** A path of which most break a rule, lead out, or collide with another one. */
export function nastyPath(dice: Dice, targets: Targets): string {
  const name = () => dice.pick(NAMES);
  switch (dice.below(12)) {
    case 0:
      return dice.pick(targets.absolute);
    case 1:
      return `${"../".repeat(1 + dice.below(8))}${dice.pick(targets.absolute).slice(1)}`;
    case 2:
      return `${dice.pick(targets.symlinks)}/${
        dice.pick([...NAMES, "canary.txt", "key.pem", "mirrorsync.db"])
      }`;
    case 3:
      return dice.pick(targets.symlinks);
    case 4:
      return `${name()}/${dice.pick(BAD_NAMES)}/${name()}`;
    case 5:
      return dice.pick(BAD_NAMES);
    case 6:
      return `.mirrorsync-staging/${dice.pick(["new-", "old-", "journal-"])}${dice.uuid()}`;
    case 7:
      return `${name()}/`.repeat(1 + dice.below(60)) + name();
    case 8:
      return String.fromCharCode(...Array.from({ length: 1 + dice.below(12) }, () => dice.below(0x10000)));
    case 9:
      return `${"x/".repeat(dice.pick([110, 126, 127, 128, 2047, 2048]))}${name()}`;
    default:
      return goodPath(dice);
  }
}

/** A path that is in order, of few, so that they meet often; below `pool/`. */
export function goodPath(dice: Dice): string {
  const depth = dice.below(3);
  return ["pool", ...Array.from({ length: depth }, () => `d${dice.below(4)}`), `f${dice.below(12)}`].join(
    "/",
  );
}

/** A JSON text that a field is not expected to hold. */
export function nastyJson(dice: Dice, targets: Targets): string {
  switch (dice.below(8)) {
    case 0:
      return dice.pick(["null", "true", "false", "[]", "{}", '""', '"0"', '"-1"', "[null]", "[[],{}]"]);
    case 1:
      return dice.pick(["-1", "0", "1.5", "-0", "1e3", "1e999", "-1e999", "9007199254740993", "5e-324"]);
    case 2:
      return String(2 ** dice.below(64) + dice.pick([-1, 0, 1]));
    case 3:
      return JSON.stringify(dice.pick(["x", "\0", "\ud800", "y".repeat(257), "z".repeat(30_000)]));
    case 4:
      return "[".repeat(1 + dice.below(15_000)).replace(/\[+/, (open) => open + "]".repeat(open.length));
    case 5:
      return `{"__proto__":{"action":"create"},"length":${dice.below(9)},"toString":null}`;
    case 6:
      return JSON.stringify(
        dice.pick([sha256(dice.bytes(3)), "f".repeat(63), "G".repeat(64), "F".repeat(64)]),
      );
    default:
      return JSON.stringify(nastyPath(dice, targets));
  }
}

/** Something that passes for a JSON header at a first look, or not at all. */
export function nastyHeader(dice: Dice): Uint8Array {
  const text = (json: string) => new TextEncoder().encode(json);
  switch (dice.below(6)) {
    case 0:
      return dice.bytes(dice.below(200));
    case 1:
      return text(
        dice.pick(["", " ", "null", "[]", '"create"', "7", "{", "{}", '{"a":}', "{'a':1}", "{}{}"]),
      );
    case 2:
      return new Uint8Array([0xef, 0xbb, 0xbf, ...text('{"action":"ping","id":"x"}')]);
    case 3:
      return new Uint8Array([...text('{"action":"create","path":"'), 0xc3, 0x28, ...text('"}')]);
    case 4:
      return text(
        `{"action":"create","action":"delete","action":${dice.pick(["7", "null", '"x"'])},"id":"twice"}`,
      );
    default:
      return text(`{"id":"long","action":"${"x".repeat(dice.below(65_000))}"}`);
  }
}

/** Content that calls itself one gzip member, what it should unpack to, and whether it really does. */
export function gzipContent(dice: Dice): { content: Uint8Array; size: number; hash: string } {
  const plain = new Uint8Array(dice.below(3000)).fill(dice.below(256));
  const member = new Uint8Array(gzipSync(plain));
  const as = (content: Uint8Array, size = plain.length) => ({ content, size, hash: sha256(plain) });
  switch (dice.below(9)) {
    case 0: // a bomb: far more than it says
      return as(BOMB, dice.pick([0, 10, 1000, 100_000]));
    case 1:
      return as(new Uint8Array([...member, ...member]), plain.length * 2);
    case 2:
      return as(new Uint8Array([...member, 0]));
    case 3:
      return as(member.subarray(0, dice.below(member.length)));
    case 4: {
      const damaged = member.slice();
      damaged[dice.below(damaged.length)]! ^= 1 << dice.below(8);
      return as(damaged);
    }
    case 5:
      return as(dice.bytes(1 + dice.below(60)));
    case 6:
      return as(member, plain.length + dice.pick([-1, 1, 1000]));
    case 7:
      return as(new Uint8Array());
    default:
      return as(member);
  }
}

/** 4 MiB of zeros in 4 KiB. */
const BOMB = new Uint8Array(gzipSync(new Uint8Array(4 * 1024 * 1024), { level: 9 }));
