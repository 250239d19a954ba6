import assert from "node:assert/strict";
import { eventJson, eventLine, isTold } from "../../src/cli/event_text.ts";
import { liveText } from "../../src/cli/live_text.ts";
import { onceReport } from "../../src/cli/once_text.ts";
import { wantsColour } from "../../src/cli/output.ts";
import { readRunStatus } from "../../src/cli/run_fact.ts";
import { displayWidth } from "../../src/cli/text.ts";
import type { PeerEvent } from "../../src/domain/events.ts";
import { parseRelativePath } from "../../src/domain/relative_path.ts";
import type { PeerLinkStatus, RunStatus } from "../../src/domain/status.ts";
import { PLAIN } from "./capture.ts";

const NOW = Date.parse("2026-11-22T10:00:00Z");

function bert(over: Partial<PeerLinkStatus> = {}): PeerLinkStatus {
  return {
    name: "bert",
    fingerprint: "ab",
    address: null,
    link: "up",
    protocol: "full",
    remoteAddress: "127.0.0.1:5",
    sinceMs: NOW,
    reason: null,
    pending: { waiting: 0, refused: 0, held: 0, bytes: 0 },
    clockAheadMs: 0,
    inSync: true,
    ...over,
  };
}

function status(over: Partial<RunStatus> = {}): RunStatus {
  return {
    pid: 1,
    startedMs: NOW,
    atMs: NOW,
    name: "anna",
    fingerprint: "cd",
    listen: "0.0.0.0:22600",
    watched: "/w",
    synced: "/s",
    peers: [bert()],
    transfers: [],
    limitBytesPerSecond: null,
    rate: { sentPerSecond: 0, receivedPerSecond: 0 },
    total: { sentBytes: 0, receivedBytes: 0, sent: 0, received: 0 },
    watcher: "watching",
    scan: { running: false, lastMs: null, lastTookMs: null },
    skipped: 0,
    lastPath: null,
    problems: [],
    ...over,
  };
}

const view = (columns = 100, nowMs = NOW) => ({ nowMs, columns, colours: PLAIN });

Deno.test("the live line: links, rate, pending, last file", () => {
  assert.equal(liveText(status(), view()), "● bert · in sync");
  assert.equal(liveText(status({ peers: [] }), view()), "no peer is trusted yet");
  assert.equal(
    liveText(
      status({
        peers: [bert({ link: "down", inSync: false })],
        scan: { running: true, lastMs: null, lastTookMs: null },
      }),
      view(),
    ),
    "○ bert away · scanning",
  );
  const busy = status({
    peers: [bert({ inSync: false, pending: { waiting: 1200, refused: 2, held: 0, bytes: 3_400_000 } })],
    rate: { sentPerSecond: 1_200_000, receivedPerSecond: 0 },
    lastPath: "docs/re\nport.pdf",
  });
  assert.equal(
    liveText(busy, view()),
    '● bert · ↑ 1.2 MB/s · 1,200 pending (3.4 MB) · 2 refused · "docs/re\\nport.pdf"',
  );
  const four = status({ peers: ["a", "b", "c", "d"].map((name) => bert({ name })) });
  assert.match(liveText(four, view()), /^4 of 4 peers connected/);
});

Deno.test("the live line never gets wider than the terminal, and says the same for the same state", () => {
  const busy = status({
    peers: [bert({ inSync: false, pending: { waiting: 1200, refused: 2, held: 0, bytes: 3_400_000 } })],
    rate: { sentPerSecond: 1_200_000, receivedPerSecond: 5 },
    lastPath: `docs/${"日本語".repeat(40)}.pdf`,
    problems: [{ code: "x", message: "y", sinceMs: 0 }],
    transfers: [
      {
        direction: "sending",
        peer: "bert",
        path: "p".repeat(200),
        doneBytes: 5,
        sizeBytes: 9,
        startedMs: NOW - 9000,
        bytesPerSecond: 1,
        leftMs: 4000,
      },
    ],
  });
  for (const columns of [80, 100, 120, 200]) {
    for (const line of liveText(busy, view(columns)).split("\n")) {
      assert.ok(displayWidth(line) < columns, `${columns}: ${line}`);
    }
    assert.equal(liveText(busy, view(columns)), liveText(busy, view(columns)));
  }
  for (const columns of [0, 1, 10]) assert.doesNotThrow(() => liveText(busy, view(columns)));
});

Deno.test("a bar for each transfer that takes longer than two seconds", () => {
  const transfer = {
    direction: "sending",
    peer: "bert",
    path: "big.iso",
    doneBytes: 250e6,
    sizeBytes: 1e9,
    bytesPerSecond: 50e6,
    leftMs: 15_000,
  } as const;
  const at = (startedMs: number) => liveText(status({ transfers: [{ ...transfer, startedMs }] }), view(120));
  assert.equal(at(NOW - 1500), "● bert · in sync");
  assert.equal(
    at(NOW - 10_000).split("\n")[0],
    "↑ █████░░░░░░░░░░░░░░░  25 %  250 MB of 1 GB, 50 MB/s, 15 s left  big.iso",
  );
  const unknown = { ...transfer, startedMs: NOW - 5000, bytesPerSecond: null, leftMs: null };
  assert.equal(
    liveText(status({ transfers: [unknown] }), view(120)).split("\n")[0],
    "↑ █████░░░░░░░░░░░░░░░  25 %  250 MB of 1 GB                     big.iso",
  );
  const many = Array.from({ length: 8 }, (_, i) => ({ ...transfer, path: `${i}`, startedMs: NOW - 5000 }));
  const lines = liveText(status({ transfers: many }), view(120)).split("\n");
  assert.equal(lines.length, 7);
  assert.equal(lines[5], "  and 3 more files");
  const empty = { ...transfer, sizeBytes: 0, doneBytes: 0, startedMs: NOW - 5000 };
  assert.match(liveText(status({ transfers: [empty] }), view(120)), /100 %/);
});

Deno.test("an event is one line, or one object", () => {
  const event: PeerEvent = { kind: "link_up", level: "info", message: "connected\n2026 fake", peer: "bert" };
  assert.equal(eventLine(event, NOW, PLAIN), "2026-11-22T10:00:00Z link_up bert connected\\n2026 fake");
  const named: PeerEvent = {
    kind: "sent",
    level: "detail",
    message: "create a for bert",
    path: "a",
    peer: "bert",
  };
  assert.equal(eventLine(named, NOW, PLAIN), "2026-11-22T10:00:00Z sent create a for bert");
  assert.equal(
    eventLine({ ...named, message: "create", path: " b" }, NOW, PLAIN),
    '2026-11-22T10:00:00Z sent bert create " b"',
  );
  assert.deepEqual(eventJson(event, NOW), {
    at: "2026-11-22T10:00:00.000Z",
    kind: "link_up",
    level: "info",
    message: "connected\n2026 fake",
    path: null,
    peer: "bert",
  });
});

Deno.test("details are told with --verbose, with --quiet only warnings", () => {
  const told = (level: PeerEvent["level"], quiet: boolean, verbose: boolean) =>
    isTold({ kind: "sent", level, message: "" }, { quiet, verbose });
  assert.deepEqual(
    (["detail", "info", "warning"] as const).map((level) => [
      told(level, false, false),
      told(level, false, true),
      told(level, true, false),
      told(level, true, true),
    ]),
    [
      [false, true, false, false],
      [true, true, false, false],
      [true, true, true, true],
    ],
  );
});

Deno.test("how a run with --once ended is told in lines", () => {
  const home = { command: (command: string) => `mirrorsync ${command}` };
  const row = {
    peer: "bert",
    pending: {
      peer: 1,
      path: parseRelativePath("in the way"),
      action: "create",
      kind: "file",
      sizeBytes: 1,
      state: "waiting",
      code: "folder_in_the_way",
      reason: "a folder is in the way",
      attempts: 1,
      nextAttemptMs: 0,
      sinceMs: NOW,
      movedTo: null,
      movedFrom: null,
      confirmed: false,
    },
  } as const;
  assert.match(
    onceReport({ reached: true, left: 0, problem: null }, status(), [], home)[0]!,
    /^Everything is delivered: sent 0 operations/,
  );
  const full = { reached: true, left: 0, problem: "the disk is full" };
  assert.deepEqual(onceReport(full, status(), [], home), [
    "not everything was done: the disk is full",
  ]);
  assert.deepEqual(onceReport({ ...full, left: 3 }, status(), [row], home).slice(0, 2), [
    "not everything was done: the disk is full",
    "3 paths not delivered:",
  ]);
  assert.deepEqual(onceReport({ reached: true, left: 3, problem: null }, status(), [row], home), [
    "3 paths not delivered:",
    "    in the way for bert: a folder is in the way",
    "    and 2 more: mirrorsync pending",
  ]);
  const away = status({ peers: [bert({ link: "down", reason: "127.0.0.1:5 refuses" })] });
  assert.deepEqual(onceReport({ reached: false, left: 0, problem: null }, away, [], home), [
    "no peer could be reached.",
    "    bert: 127.0.0.1:5 refuses",
  ]);
});

Deno.test("what a run wrote is read back, and anything else is nothing", () => {
  const written = status({ lastPath: "x", problems: [{ code: "a", message: "b", sinceMs: 1 }] });
  assert.deepEqual(readRunStatus(JSON.parse(JSON.stringify(written))), written);
  for (const fact of [null, 5, {}, [], { ...written, pid: "1" }, { ...written, peers: [{}] }]) {
    assert.equal(readRunStatus(fact), null);
  }
});

Deno.test("colours: on terminals that can, never with NO_COLOR", () => {
  const env = (vars: Record<string, string>) => (name: string) => vars[name];
  assert.equal(wantsColour(true, env({})), true);
  assert.equal(wantsColour(false, env({})), false);
  assert.equal(wantsColour(true, env({ NO_COLOR: "1" })), false);
  assert.equal(wantsColour(true, env({ NO_COLOR: "" })), true);
  assert.equal(wantsColour(true, env({ TERM: "dumb" })), false);
  assert.equal(wantsColour(false, env({ FORCE_COLOR: "1" })), true);
});
