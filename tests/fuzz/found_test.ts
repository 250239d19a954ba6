/** What the inputs of `deno task fuzz` have shown to be wrong, each with the shortest one that showed it. */
import assert from "node:assert/strict";
import { parseByteRate } from "../../src/cli/byte_rate.ts";
import { parseByteSize } from "../../src/cli/byte_size.ts";
import { parseConfig } from "../../src/cli/config.ts";
import { parseDuration } from "../../src/cli/duration.ts";
import { parseTime } from "../../src/cli/time_flag.ts";
import { NO_EXTENSIONS, parseOperation } from "../../src/domain/header.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { FileError } from "../../src/domain/ports.ts";
import { certificatePemOf, parseCertificate } from "../../src/identity/certificate.ts";
import { encodeLumpHead, type JournalEntry, readJournal } from "../../src/receive/journal_format.ts";
import { jsonOf, parseDamaged, parsePaths, parseRepaired } from "../../src/verify/exchange.ts";
import { parseReport } from "../../src/verify/finding.ts";
import { IgnoreFile } from "../../src/watch/ignore_rules.ts";
import { helloFields, parseHello } from "../../src/wire/hello.ts";
import { parseListing } from "../../src/wire/tree_digest.ts";
import { Store } from "../../src/store/store.ts";
import { helloOf } from "../receive/support.ts";
import { MemoryTree } from "../simulation/memory_tree.ts";
import { encodeFrame } from "../wire/streams.ts";
import { frameVector } from "../wire/vectors.ts";
import { fixedIdentity } from "./parsers/fixed_identity.ts";
import { resumedTransfer } from "./parsers/talk_targets.ts";

const NOW_MS = Date.UTC(2026, 10, 22, 10);
const encoder = new TextEncoder();

function code(expected: string) {
  return (error: unknown) => error instanceof MirrorError && error.code === expected;
}

Deno.test("found by fuzzing: a certificate that only one of its two readers can read is refused as a bad one", async () => {
  const { certificatePem } = await fixedIdentity("anna");
  const hex = Uint8Array.fromBase64(certificatePem.replaceAll(/-----[^-]*-----|\s/g, "")).toHex();
  const wrong = [
    [hexOf("460101000000Z"), hexOf("460181000000Z")], // a day that no month has
    ["2a300506032b6570", "2a300506032b6571"], // a key of a kind that the runtime does not know
  ];
  assert.equal(parseCertificate(certificatePem, { nowMs: NOW_MS }).name, "anna");
  for (const [from, to] of wrong) {
    assert(hex.includes(from!), from);
    const pem = certificatePemOf(Uint8Array.fromHex(hex.replace(from!, to!)));
    assert.throws(() => parseCertificate(pem, { nowMs: NOW_MS }), code("bad_certificate"), to);
  }
});

function hexOf(text: string): string {
  return encoder.encode(text).toHex();
}

Deno.test("found by fuzzing: an entry of a journal that is not of its shape makes the lump none of ours", async () => {
  const entry = {
    peer: 1,
    path: "a.txt",
    aside: ".mirrorsync-staging/old-1",
    state: { kind: "file", sizeBytes: 0, mtimeMs: NOW_MS, executable: false, hash: "0".repeat(64) },
  } as const;
  const read = async (changed: unknown) => {
    const tree = new MemoryTree({ root: "/journals", now: () => NOW_MS });
    tree.save("journal", encodeLumpHead([changed as JournalEntry]));
    const found: string[] = [];
    for await (const { entry } of readJournal(await tree.openRead("journal"))) found.push(entry.path);
    return found;
  };
  assert.deepEqual(await read(entry), ["a.txt"]);
  const { state } = entry;
  for (
    const wrong of [
      { ...entry, peer: "1" },
      { ...entry, aside: `${entry.aside}\0` },
      { ...entry, state: { ...state, sizeBytes: "0" } },
      { ...entry, state: { ...state, sizeBytes: 0.5 } },
      { ...entry, state: { ...state, mtimeMs: null } },
      { ...entry, state: { ...state, mtimeMs: 5e-324 } },
      { ...entry, state: { ...state, hash: "script" } },
      { ...entry, state: { ...state, hash: 65_536 } },
    ]
  ) assert.deepEqual(await read(wrong), [], JSON.stringify(wrong));
});

Deno.test("found by fuzzing: what a peer has written wrong is not listed: the first mistake ends the reading", () => {
  for (
    const read of [
      (list: unknown) => parsePaths({ watched: list, synced: [] }),
      (list: unknown) => parseDamaged(list),
      (list: unknown) => parseRepaired({ damaged: [], mended: list, failed: [] }),
      (list: unknown) => {
        const tally = { files: 0, bytes: 0 };
        if (parseReport({ watched: tally, synced: tally, more: 0, findings: list }) !== null) return;
        throw new MirrorError("bad_content", "no report");
      },
    ]
  ) {
    let looks = 0;
    const list = new Proxy(new Array(1000).fill(1), {
      get: (target, key, self) => {
        if (typeof key === "string" && /^\d+$/.test(key)) looks++;
        return Reflect.get(target, key, self);
      },
    });
    assert.throws(() => read(list), code("bad_content"));
    assert(looks < 10, `${looks} of the wrong items were looked at`);
  }
});

Deno.test("found by fuzzing: JSON that is made of nothing but brackets is refused before it fills the memory", () => {
  const nested = (count: number) => encoder.encode(`[${"[],".repeat(count)}0]`);
  assert.equal((jsonOf({ content: nested(1000) }) as unknown[]).length, 1001);
  assert.throws(() => jsonOf({ content: nested(1_100_000) }), code("bad_content"));
  assert.throws(() => jsonOf({ content: new Uint8Array(33 * 1024 * 1024).fill(0x20) }), code("bad_content"));
});

Deno.test("found by fuzzing: a hello that asks for an endless rate is a bad one, as no pace can be kept that is none", () => {
  const hello = { ...helloFields(helloOf("bert")), rate: JSON.parse("1e999") };
  assert.throws(() => parseHello(hello), code("bad_hello"));
});

Deno.test("found by fuzzing: a turn is a whole number", () => {
  const { header } = frameVector("create");
  const extensions = { ...NO_EXTENSIONS, pieces: true };
  assert.equal(parseOperation({ ...header, turn: 3 }, extensions).turn, 3);
  for (const turn of [0.5, -1, "1", JSON.parse("1e999")]) {
    assert.throws(() => parseOperation({ ...header, turn }, extensions), code("bad_header"));
  }
});

Deno.test("found by fuzzing: a resume of a turn and a half is not followed, as its receiver would take no piece of that", async () => {
  using store = new Store(":memory:");
  for (const wrong of [{ turn: 1.5 }, { turn: JSON.parse("1e308") }, { turn: 1, plain: 0.5 }]) {
    await resumedTransfer(store, encodeFrame({ action: "resume", marks: [], plain: 0, ...wrong }, null));
  }
});

Deno.test("found by fuzzing: a listing of a tree with a size below nothing is none", () => {
  assert.throws(() => parseListing(encoder.encode('["a","file",-1,0,false,""]\n')), code("bad_content"));
});

Deno.test("found by fuzzing: names that every object has are no units of a size", () => {
  for (const parse of [parseByteSize, parseByteRate]) {
    for (const text of ["0 constructor", "5 constructor", "0toString"]) {
      assert.throws(() => parse(text), /unit|not clear/, text);
    }
  }
});

Deno.test("found by fuzzing: a time that no date can be, and a duration that cannot be counted, are none", () => {
  const many = "9".repeat(400);
  assert.equal(parseDuration(many), NaN);
  assert.equal(parseDuration(`${many}d`), NaN);
  assert.equal(parseDuration(1e300), NaN);
  for (const text of [`${many}d`, "99999999999d"]) assert.throws(() => parseTime(text, NOW_MS), /is no time/);
});

Deno.test("found by fuzzing: spaces without end are read once, not once for each of them", () => {
  // Else each of these takes most of an hour.
  const spaces = " ".repeat(1024 * 1024);
  assert.equal(parseDuration(`1${spaces}x`), NaN);
  assert.throws(() => parseTime(`2026-11-22 10:00${spaces}x`, NOW_MS), /is no time/);
});

Deno.test("found by fuzzing: of a file that is no config at all twenty lines are told of, and how many more there are", () => {
  const text = Array.from({ length: 20_000 }, (_, i) => `k${i} = 1`).join("\n");
  assert.throws(() => parseConfig(text, "/a/mirrorsync.toml"), (error) => {
    assert(error instanceof MirrorError && error.code === "bad_config");
    assert.match(error.message, /line 1: there is no key k0.*line 20: .*; and 19980 more like these$/);
    return true;
  });
});

Deno.test("found by fuzzing: a line of an ignore file that is too long for a rule is told of, and the file not half used", () => {
  assert.throws(
    () => IgnoreFile.parse("sub", `*.o\n${"?".repeat(64 * 1024)}\n`),
    (error) => error instanceof FileError && /sub\/\.mirrorsyncignore: line 2 /.test(error.message),
  );
  assert.equal(IgnoreFile.parse("", `#${"-".repeat(5000)}\n*.o\n`).verdict("a.o", false), "ignored");
});
