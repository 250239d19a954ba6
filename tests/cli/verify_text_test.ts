import assert from "node:assert/strict";
import { progressText, verifyLines } from "../../src/cli/verify_text.ts";
import {
  isWell,
  type VerifiedFinding,
  type VerifiedPeer,
  type VerifyResult,
} from "../../src/verify/result.ts";

const READ = { watched: { files: 1, bytes: 1000 }, synced: { files: 2, bytes: 2000 } };
const BERT: VerifiedPeer = {
  ...READ,
  ...{ name: "bert", state: "verified", reason: null, more: 0, differencesHere: 0, differencesThere: 0 },
};

function result(
  findings: readonly Partial<VerifiedFinding>[],
  more: Partial<VerifyResult> = {},
): VerifyResult {
  const finding: VerifiedFinding = {
    ...{ peer: null, side: "synced", path: "album/x.bin", verdict: "damaged", sizeBytes: 2_000_000 },
    ...{ ranges: [[1_048_576, 1_056_768]], reason: null, repaired: false, notRepaired: null },
  };
  return {
    ...READ,
    ...{ repair: false, tookMs: 1500, more: 0, peers: [BERT] },
    ...more,
    findings: findings.map((each) => ({ ...finding, ...each })),
  };
}

Deno.test("verify in text: all is well", () => {
  assert.deepEqual(verifyLines(result([])), [
    "here: 3 files, 3 kB read, in 1.5 s",
    "on bert: 3 files, 3 kB read",
    "all that was read is as it should be",
  ]);
});

Deno.test("verify in text: a line for each finding, a summary", () => {
  const ranges = Array.from({ length: 8 }, (_, i) => [i * 10, i * 10 + 5] as const);
  const findings: Partial<VerifiedFinding>[] = [
    {},
    {
      peer: "bert",
      side: "watched",
      path: "small",
      sizeBytes: 30_000,
      ranges: [[0, 30_000]],
      repaired: true,
    },
    { path: "many", ranges },
    { path: "gone\n", verdict: "missing", notRepaired: "bert's own file is not there" },
    { path: "locked", verdict: "unreadable", reason: "cannot read locked: no permission" },
    { path: "live", verdict: "changed" },
    { path: "fresh", verdict: "unverified" },
  ];
  assert.deepEqual(verifyLines(result(findings, { peers: [{ ...BERT, differencesHere: 2 }] })), [
    "synced/album/x.bin: bytes 1,048,576 to 1,056,768 are damaged",
    "on bert: watched/small: somewhere in its 30,000 bytes it is damaged: repaired",
    "synced/many: bytes 0 to 5, 10 to 15, 20 to 25, 30 to 35, 40 to 45 and 3 more ranges are damaged",
    '"synced/gone\\n" is missing',
    "    not repaired: bert's own file is not there",
    "synced/locked cannot be read (cannot read locked: no permission)",
    "synced/live is being changed, or was since it was last looked at: not verified",
    "synced/fresh was saved a moment ago: not verified",
    "",
    "here: 3 files, 3 kB read, in 1.5 s",
    "on bert: 3 files, 3 kB read",
    "with bert the trees differed at 2 paths: the difference is sent",
    "not everything is as it should be: 3 damaged, 1 missing, 1 unreadable, 1 repaired, 2 not verified",
  ]);
});

Deno.test("verify: what is well", () => {
  assert.ok(isWell(result([{ repaired: true }, { verdict: "changed" }, { verdict: "unverified" }])));
  assert.ok(isWell(result([], { peers: [{ ...BERT, state: "not_asked", reason: "no link" }] })));
  for (const verdict of ["damaged", "missing", "unreadable"] as const) {
    assert.equal(isWell(result([{ verdict }])), false);
  }
  assert.equal(isWell(result([], { peers: [{ ...BERT, state: "lost", reason: "gone" }] })), false);
  assert.equal(isWell(result([], { more: 1 })), false);
});

Deno.test("verify in text: how far it is", () => {
  const sides = [{ peer: null, files: 1, bytes: 500, ofBytes: 2000 }, {
    ...{ peer: "bert", files: 0, bytes: 10, ofBytes: 0 },
  }];
  assert.equal(progressText({ stage: "reading", sides }), "here 500 B of 2 kB · bert 10 B");
});
