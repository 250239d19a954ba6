import fc from "fast-check";
import assert from "node:assert/strict";
import { isPeerName } from "../../../src/domain/peer_name.ts";
import { conflictPath } from "../../../src/domain/conflict_name.ts";
import {
  checkNameOn,
  MAX_PATH_BYTES,
  MAX_PATH_PARTS,
  parseRelativePath,
} from "../../../src/domain/relative_path.ts";
import { formatTimestamp, parseTimestamp } from "../../../src/domain/timestamp.ts";
import { formatInvite, parseInvite } from "../../../src/identity/invite.ts";
import { fromBase32, toBase32 } from "../../../src/identity/base32.ts";
import { formatAddress, parseAddress } from "../../../src/link/address.ts";
import { parseByteRate } from "../../../src/cli/byte_rate.ts";
import { parseByteSize } from "../../../src/cli/byte_size.ts";
import { configTemplate, parseConfig } from "../../../src/cli/config.ts";
import { parseDuration } from "../../../src/cli/duration.ts";
import { parseTime } from "../../../src/cli/time_flag.ts";
import { IgnoreFile, IgnoreRules } from "../../../src/watch/ignore_rules.ts";
import type { Prng } from "../../simulation/prng.ts";
import pairing from "../../vectors/pairing.json" with { type: "json" };
import { nastyPath } from "../fuzz.ts";
import { changedBytes, changedText } from "./mutate.ts";
import { chanceIn, type Target, textOf, typedNow, unitsOf } from "./target.ts";
import { crc32 } from "node:zlib";

const NOW_MS = Date.UTC(2026, 10, 22, 10);
/** The last time that a `Date` can be. */
const MAX_DATE_MS = 8.64e15;

const CONFIGS: readonly string[] = [
  configTemplate({ listen: "0.0.0.0:22600" }),
  configTemplate({ listen: null }).replaceAll(/^# (?=[a-z_]+ = )/gm, ""),
  'name = "laptop"\nwatched = "w"\nsynced = "s"\npeer = "other.example:22600"\nscan_interval = 90\nlimit = "2MB/s"\n',
  'listen = "[::]:22600"\nquota = "1.5GiB"\ntrash = false\ntrash_days = 7\ntrash_size = 1_000_000\nnotify = true\n',
];
const VALUES: readonly string[] = [
  ...[
    "20GB",
    "500 MB",
    "1.5GiB",
    "1000000",
    "none",
    "0",
    "2MB/s",
    "500KB/s",
    "1.5MiB/s",
    "10m",
    "90s",
    "1h",
    "250ms",
  ],
  ...["2d", "2026-11-22 14:30", "2026-11-22T13:30:00Z", "2026-11-22", "2026-11-22T13:30:00.5+01:00", "2h"],
  ...["0.0.0.0:22600", "[::1]:22600", "other.example:1", "192.168.1.20", "[fe80::1%eth0]:1", "anna.local"],
  ...[
    "2026-11-22T10:00:00Z",
    "2016-12-31T23:59:60Z",
    "0000-01-01T00:00:00+23:59",
    "2026-11-22t10:00:00.123456789z",
  ],
];
const IGNORES: readonly string[] = [
  "*.o\n!keep.o\n/build/\ndoc/**/*.txt\n# a comment\n\\#no comment\n\\!no\nfoo[a-z].c\n?x\n",
  "node_modules/\n**/tmp\n**/\n/**\na/**/b\n[!a]x\n[[:alpha:]]\n*.{a,b}\ntrailing\\ \n*a*a*a\n",
];
const PATHS: readonly string[] = [
  "a/b/c.txt",
  "node_modules",
  "doc/x/y.txt",
  "aaaaaaaaaaaaaaaaaaaaaaaa",
  "é/ö.o",
  "build",
];

/** What people write: settings, invites, values of flags, ignore files, and names. */
export function textTargets(): Target[] {
  const invite = pairing.invite;
  const texts = (of: readonly string[]) => (random: Prng) =>
    unitsOf(changedText(random.pick(of), random, of));
  return [
    {
      name: "config",
      share: 25,
      mutated: (random) => {
        const config = random.pick(CONFIGS);
        const lines = config.split("\n").filter((line) =>
          line !== "" && !line.startsWith("# ") || random.chance(0.02)
        );
        return unitsOf(changedText(lines.join("\n"), random, CONFIGS));
      },
      arbitrary: fc.array(
        fc.tuple(
          fc.constantFrom(
            "name",
            "limit",
            "scan_interval",
            "trash_days",
            "listen",
            "x",
            "__proto__",
            "constructor",
            "a.b",
          ),
          fc.oneof(fc.json(), fc.string().map((text) => JSON.stringify(text)), fc.double().map(String)),
        ),
        { maxLength: 4 },
      ).map((lines) => unitsOf(lines.map(([key, value]) => `${key} = ${value}`).join("\n"))),
      read: readConfig,
    },
    {
      name: "invite",
      share: 60,
      mutated: (random) =>
        random.chance(0.4) ? texts([invite.line])(random) : unitsOf(changedInvite(invite.bytes, random)),
      arbitrary: fc.string({ unit: "binary" }).map((text) => unitsOf(`MS1-${text}`)),
      read: readInvite,
    },
    {
      name: "values of flags",
      share: 70,
      mutated: texts(VALUES),
      arbitrary: fc.string().map(unitsOf),
      read: readValue,
    },
    {
      name: "path",
      share: 50,
      mutated: texts([...PATHS, "a/".repeat(200) + "b", "x".repeat(4090)]),
      arbitrary: nastyPath.map(unitsOf),
      read: readPath,
    },
    {
      name: "ignore file",
      share: 10,
      mutated: texts(IGNORES),
      arbitrary: fc.array(fc.string({ unit: fc.constantFrom(..."a*?[]!\\/-^.{}() \n#") })).map((lines) =>
        unitsOf(lines.join("\n"))
      ),
      read: readIgnoreFile,
    },
  ];
}

function readConfig(input: Uint8Array): void {
  typedNow(["bad_config"], () => {
    const { name, listen, watched, synced, peer, settings } = parseConfig(
      textOf(input),
      "/home/a/mirrorsync.toml",
    );
    assert(name === null || isPeerName(name));
    for (const address of [listen, peer]) {
      if (address !== null) assert.deepEqual(parseAddress(formatAddress(address)), address);
    }
    for (const folder of [watched, synced]) assert(folder === null || folder.startsWith("/"));
    assert(settings.scanIntervalMs >= 1000 && settings.scanIntervalMs <= 86_400_000);
    for (const days of [settings.logDays, settings.auditDays, settings.trashDays]) {
      assert(Number.isSafeInteger(days) && days > 0);
    }
    for (const bytes of [settings.limitBytesPerSecond, settings.quotaBytes, settings.trashBytes]) {
      assert(bytes === null || Number.isSafeInteger(bytes) && bytes > 0);
    }
  });
}

/** An invite whose bytes were changed and whose checksum and length fit again, mostly. */
function changedInvite(hex: string, random: Prng): string {
  const bytes = changedBytes(Uint8Array.fromHex(hex), random);
  if (bytes.length > 6 && random.chance(0.8)) {
    const view = new DataView(bytes.buffer);
    view.setUint16(0, bytes.length);
    const sum = crc32(bytes.subarray(0, bytes.length - 4), crc32("MS1-"));
    view.setUint32(bytes.length - 4, sum);
  }
  return `MS1-${toBase32(bytes)}`;
}

function readInvite(input: Uint8Array): void {
  const text = textOf(input);
  typedNow(["bad_invite"], () => {
    const invite = parseInvite(text);
    assert(invite.fingerprint.length === 64 && invite.id.length === 8 && invite.secret.length === 16);
    assert(invite.addresses.length > 0 && invite.addresses.length <= 255);
    // Addresses are read by whoever dials them.
    for (const address of invite.addresses) typedNow(["wrong_usage"], () => parseAddress(address));
    if (
      !formatInvite(invite).includes("\ufffd") && invite.addresses.every((each) => !each.includes("\ufffd"))
    ) {
      assert.deepEqual(parseInvite(formatInvite(invite)), invite);
    }
  });
  const decoded = fromBase32(text);
  if ("bytes" in decoded) assert(decoded.bytes.length <= text.length);
}

/** The value of a flag: a refusal is an `Error` with words for a person, and never one of the runtime's own kinds. */
function plainly<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error) || error.constructor !== Error) {
      throw new Error("not a plain refusal", { cause: error });
    }
    return null;
  }
}

const SIZE = /^\s*(?:none|\d+(?:\.\d+)? ?(?:|[kK]B|B|[MGT]B|[KMGT]iB)(?:\/s)?)\s*$/;

function readValue(input: Uint8Array): void {
  const text = textOf(input);
  for (const parse of [parseByteSize, parseByteRate]) {
    const bytes = plainly(() => [parse(text)]);
    if (bytes === null) continue;
    assert.match(text, SIZE, `${parse.name} takes ${JSON.stringify(text)} for ${bytes[0]}`);
    assert(bytes[0] === null || Number.isSafeInteger(bytes[0]) && bytes[0]! > 0);
  }
  const duration = parseDuration(text);
  assert(
    Number.isNaN(duration) || Number.isSafeInteger(duration) && duration >= 0,
    `a duration of ${duration}`,
  );
  const at = plainly(() => parseTime(text, NOW_MS));
  assert(at === null || at <= NOW_MS && at >= -MAX_DATE_MS, `a time of ${at}`);
  typedNow(["wrong_usage"], () => {
    const address = parseAddress(text);
    assert(Number.isInteger(address.port) && address.port >= 0 && address.port < 65536);
    assert.deepEqual(parseAddress(formatAddress(address)), address);
  });
  typedNow(["bad_header"], () => {
    const ms = parseTimestamp(text);
    assert(Number.isSafeInteger(ms));
    formatTimestamp(ms);
  });
}

function readPath(input: Uint8Array): void {
  const text = textOf(input);
  typedNow(["bad_path", "reserved_name", "name_too_long"], () => {
    const path = parseRelativePath(text);
    assert(path === text && path.normalize("NFC") === path && path.length <= MAX_PATH_BYTES);
    const parts = path.split("/");
    assert(
      parts.length <= MAX_PATH_PARTS && parts.every((part) => part !== "" && part !== "." && part !== ".."),
    );
    for (const system of ["unix", "windows"] as const) {
      typedNow(["unsupported_name", "name_too_long"], () => checkNameOn(system, path));
    }
    assert.notEqual(conflictPath(path, NOW_MS, 0), path);
  });
}

/** Reads an ignore file and asks it, as a scan does, about a few paths and what lies in them. */
function readIgnoreFile(input: Uint8Array): void {
  const random = chanceIn(input);
  const file = typedNow([], () => IgnoreFile.parse(random.chance(0.7) ? "" : "a", textOf(input)));
  if (file === null) return;
  for (const path of PATHS) {
    if (file.folder !== "" && !path.startsWith("a/")) continue;
    const verdict = file.verdict(path, random.chance(0.5));
    assert(verdict === null || verdict === "ignored" || verdict === "included");
  }
  if (file.folder !== "") return;
  let rules = IgnoreRules.root(file);
  for (const name of ["a", "*", "[x]", "\\"]) {
    rules.ignores(name, true);
    rules = rules.enter(name, null);
  }
}
