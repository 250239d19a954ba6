import assert from "node:assert/strict";
import { parseConfig } from "../../../src/cli/config.ts";
import { parseDuration } from "../../../src/cli/duration.ts";
import { parseTime } from "../../../src/cli/time_flag.ts";
import { parseByteRate } from "../../../src/cli/byte_rate.ts";
import { frameBytes, MAX_HEADER_BYTES } from "../../../src/wire/frame.ts";
import { parseRawHeader } from "../../../src/domain/header.ts";
import { parseCertificate } from "../../../src/identity/certificate.ts";
import { parseInvite } from "../../../src/identity/invite.ts";
import { jsonContent, parseDamaged, parsePaths, parseRepaired } from "../../../src/verify/exchange.ts";
import { parseReport } from "../../../src/verify/finding.ts";
import { IgnoreFile } from "../../../src/watch/ignore_rules.ts";
import { FrameReader } from "../../../src/wire/frame_reader.ts";
import { parseListing } from "../../../src/wire/tree_digest.ts";
import type { Prng } from "../../simulation/prng.ts";
import { encodeFrame, sourceOf } from "../../wire/streams.ts";
import { type Target, typed, typedNow } from "./target.ts";

const MIB = 1024 * 1024;

/** Inputs as long as they may be, made of one part again and again: what is held and done for them must stay in proportion. */
const KINDS: readonly {
  readonly bytes: number;
  readonly parts: readonly string[];
  readonly ends: readonly (readonly [string, string])[];
  readonly read: (text: string) => void | Promise<void>;
}[] = [
  { // what verify says: the content of a request
    bytes: 8 * MIB - 100,
    parts: ["1,", "[],", "{},", '"a",', '"",', "[", '{"a":', "null,", '{"watched":[],"synced":[]},'],
    ends: [["[", "0]"], ['{"watched":[', '"x"],"synced":[]}'], [
      '{"damaged":[],"mended":[',
      '1],"failed":[]}',
    ]],
    read: async (text) => {
      const reader = new FrameReader(sourceOf(encodeFrame({}, new TextEncoder().encode(text)), 64 * 1024));
      await reader.head();
      const value = await typed(["bad_content"], () => jsonContent(reader));
      for (const parse of [parsePaths, parseDamaged, parseRepaired]) {
        typedNow(["bad_content"], () => parse(value));
      }
      parseReport(value);
    },
  },
  {
    bytes: MAX_HEADER_BYTES - 200,
    parts: ["[", '{"a":', "[],", '"x":1,', "1", "\\ud800", '"__proto__":{},'],
    ends: [['{"action":"create","path":', ""], ['{"x":[', "0]}"], ['{"a":"', '"}'], ["{", '"y":1}']],
    read: (text) => {
      typedNow(["bad_header"], () => {
        // The log notes how long it was.
        assert(frameBytes(parseRawHeader(new TextEncoder().encode(text)), 0) > 0);
      });
    },
  },
  {
    bytes: 4 * MIB,
    parts: ['["a","file",1,1,false,""]\n', "\n", "[", "1\n", '["a",'],
    ends: [["", ""]],
    read: (text) => void typedNow(["bad_content"], () => parseListing(new TextEncoder().encode(text))),
  },
  {
    bytes: MAX_HEADER_BYTES,
    parts: ["-----BEGIN ", "-----BEGIN CERTIFICATE", "-----BEGIN CERTIFICATE-----", "A", "\n", "- ", "\r"],
    ends: [["", ""], ["-----BEGIN CERTIFICATE-----\n", "\n-----END CERTIFICATE-----"]],
    read: (text) => void typedNow(["bad_certificate"], () => parseCertificate(text)),
  },
  {
    bytes: 128 * 1024,
    parts: [" ", "9", "1 ", "m", "\t", "MS", "0.", "-", "K"],
    ends: [["1", "x"], ["2026-11-22", "x"], ["2026-11-22 10:00", "x"], ["MS1-", "!"], ["", ""]],
    read: (text) => {
      parseDuration(text);
      for (const parse of [parseByteRate, (value: string) => parseTime(value, 0)]) {
        try {
          parse(text);
        } catch (error) {
          assert(error instanceof Error && error.constructor === Error);
        }
      }
      typedNow(["bad_invite"], () => parseInvite(text));
    },
  },
  {
    bytes: 256 * 1024,
    parts: ["x = 1\n", "a.b = 1\n", " ", "[", "[[a]]\n", "# \n", "x", '"', "{", "\u0000"],
    ends: [["", ""], ['name = "', '"'], ["scan_interval = [", "]"], ["a = {", "}"]],
    read: (text) =>
      void typedNow(["bad_config"], () => parseConfig(numbered(text), "/home/a/mirrorsync.toml")),
  },
  {
    bytes: 100 * 1024,
    parts: ["*\n", "a/\n", "**/", "[", "\\", "!", "a*", "?", "{a,", "**", "[a-", "*/"],
    ends: [["", ""], ["", "b"]],
    read: (text) => {
      for (const each of [text, text.slice(0, 1000)]) {
        typedNow([], () => IgnoreFile.parse("", each).verdict("a".repeat(100), false));
      }
    },
  },
  { // one pattern, as long as a name can make it work
    bytes: 60,
    parts: ["*a", "**a", "a*", "?*", "[a]*", "**/", "*/", "a**/"],
    ends: [["", "b"], ["/", ""]],
    read: (text) => {
      const file = IgnoreFile.parse("", text);
      for (const name of ["a".repeat(200), "a".repeat(199) + "b", "a/".repeat(100) + "c"]) {
        file.verdict(name, false);
      }
    },
  },
];

export function largeTarget(): Target {
  return {
    name: "as long as may be",
    share: 0.15,
    // Its kind, its part, its end: the input is made of them when it is read, as it would be too long to print.
    mutated: (random: Prng) => {
      const kind = random.int(0, KINDS.length - 1);
      const { parts, ends } = KINDS[kind]!;
      return new Uint8Array([kind, random.int(0, parts.length - 1), random.int(0, ends.length - 1)]);
    },
    read: async (input) => {
      const kind = KINDS[input[0]!]!;
      const part = kind.parts[input[1]!]!;
      const [before, after] = kind.ends[input[2]!]!;
      await kind.read(before + part.repeat(Math.floor(kind.bytes / part.length)) + after);
    },
  };
}

/** Keys of their own, as the same one twice is refused at once. */
function numbered(text: string): string {
  let number = 0;
  return text.startsWith("x = ") || text.startsWith("a.b = ")
    ? text.replaceAll(/^/gm, () => `k${number++}`)
    : text;
}
