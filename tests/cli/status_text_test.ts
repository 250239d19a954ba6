import assert from "node:assert/strict";
import { statusLines, type StatusReport } from "../../src/cli/status_text.ts";
import { logLines } from "../../src/cli/log.ts";
import { pendingJson, pendingLines } from "../../src/cli/pending.ts";
import { parseRelativePath } from "../../src/domain/relative_path.ts";
import { localNote } from "../../src/store/log.ts";
import { PLAIN } from "./capture.ts";

const home = { command: (command: string) => `mirrorsync ${command}` };
const NOTHING = { waiting: 0, refused: 0, held: 0, bytes: 0 };

function report(over: Partial<StatusReport> = {}): StatusReport {
  return {
    running: true,
    pid: 42,
    started: "2026-11-22T10:00:00.000Z",
    name: "anna",
    fingerprint: "ab",
    home: "/home",
    listen: "0.0.0.0:22600",
    watched: "/w",
    synced: "/s",
    counts: {
      watched: { files: 12, folders: 1, bytes: 1_200_000 },
      synced: { files: 0, folders: 0, bytes: 0 },
      held: 0,
    },
    peers: [{
      name: "bert",
      fingerprint: "cd",
      address: null,
      link: "up",
      protocol: "full",
      remoteAddress: "127.0.0.1:5",
      since: "2026-11-22T10:00:01.000Z",
      reason: null,
      lastSeen: null,
      pending: NOTHING,
      clockAheadMs: 0,
      inSync: true,
    }],
    pending: NOTHING,
    transfers: [],
    limitBytesPerSecond: null,
    rate: { sentPerSecond: 0, receivedPerSecond: 0 },
    total: null,
    watcher: "watching",
    health: [{ part: "link", state: "ok", found: "connected with bert", todo: null }],
    trash: { files: 0, folders: 0, bytes: 0, oldest: null },
    scan: { running: false, last: "2026-11-22T10:00:02.500Z", lastTookMs: 250 },
    skipped: [],
    problems: [],
    ...over,
  };
}

const lines = (over?: Partial<StatusReport>) =>
  statusLines(report(over), home, "mirrorsync run --watched DIR", PLAIN);

Deno.test("a peer that runs and is in sync", () => {
  assert.deepEqual(lines(), [
    "anna is running (process 42, since 2026-11-22T10:00:00Z)",
    "  home     /home",
    "  watched  /w  (12 files, 1 folder, 1.2 MB)",
    "  synced   /s  (0 files, 0 folders, 0 B)",
    "  listen   0.0.0.0:22600",
    "  scan     last 2026-11-22T10:00:02Z, took 0.3 s",
    "  pending  nothing",
    "  health   link: all well",
    "",
    "Peers",
    "  bert  connected to 127.0.0.1:5  in sync",
  ]);
});

Deno.test("a limit is shown, and every transfer with its rate and the time that is left", () => {
  const transfer = {
    direction: "sending",
    peer: "bert",
    path: "big.iso",
    doneBytes: 5e6,
    sizeBytes: 20e6,
    started: "",
    bytesPerSecond: 2e6,
    leftMs: 7500,
  } as const;
  const unknown = {
    ...transfer,
    direction: "receiving",
    path: "b",
    bytesPerSecond: null,
    leftMs: null,
  } as const;
  const shown = lines({ limitBytesPerSecond: 2_000_000, transfers: [transfer, unknown] });
  assert.ok(shown.includes("  limit    2 MB/s in each direction"), shown.join("\n"));
  assert.deepEqual(shown.slice(shown.indexOf("On their way") + 1), [
    "  → bert  5 MB of 20 MB  2 MB/s, 7.5 s left  big.iso",
    "  ← bert  5 MB of 20 MB                      b",
  ]);
});

Deno.test("what is wrong is said with what to do", () => {
  const text = lines({
    running: false,
    watched: null,
    peers: [],
    pending: { waiting: 2, refused: 1, held: 0, bytes: 5000 },
    problems: [{ code: "no_space", message: "the disk is full:\nfree some", since: "" }],
  }).join("\n");
  assert.match(text, /anna is not running/);
  assert.match(text, /pending {2}2 paths \(5 kB\), 1 refused/);
  assert.match(text, /! the disk is full:\\nfree some/);
  assert.match(text, /! no peer is trusted yet: mirrorsync invite/);
  assert.match(text, /! 1 path was refused: mirrorsync pending says why/);
  assert.match(
    text,
    /! nothing is mirrored while it does not run: mirrorsync run --watched DIR/,
  );
});

Deno.test("a link that is down is shown with its reason", () => {
  const peer = { ...report().peers[0]!, link: "connecting", inSync: false, reason: "refused\nhere" } as const;
  assert.match(lines({ peers: [peer] }).at(-1)!, /^ {2}bert {2}connecting {2}refused\\nhere; never seen$/);
});

Deno.test("the first 20 paths that are not sent are named, forging no lines", () => {
  const skipped = Array.from({ length: 25 }, (_, i) => ({
    path: `link\n${i}`,
    reason: "symlink",
    message: "symbolic links are not sent",
    since: "",
  }));
  const shown = lines({ skipped });
  const from = shown.indexOf("Not sent (25 paths)");
  assert.equal(shown[from + 1], '  "link\\n0": symbolic links are not sent');
  assert.equal(shown[from + 20], '  "link\\n19": symbolic links are not sent');
  assert.equal(shown[from + 21], "  and 5 more: mirrorsync status --json names them all");
  assert.ok(shown.every((line) => !line.includes("\n")));
});

Deno.test("a row of the log is a line, its error the line below", () => {
  const atMs = Date.parse("2026-11-22T10:00:00Z");
  const note = localNote(atMs, "skip", "a\nlink", "symlink", "symbolic links\nare not sent");
  assert.deepEqual(logLines([note]), [
    '2026-11-22T10:00:00Z     here  skip    symlink  "a\\nlink"',
    "    symbolic links\\nare not sent",
  ]);
  const sent = {
    ...note,
    direction: "sent",
    action: "create",
    path: "x",
    peer: "bert",
    sizeBytes: 1500,
    hash: "ab",
    status: "ok",
    error: null,
    code: null,
  } as const;
  assert.deepEqual(logLines([sent]), ["2026-11-22T10:00:00Z  →  bert  create  1.5 kB  ok  x"]);
});

Deno.test("a pending path is a line, with its reason below", () => {
  const pending = {
    peer: 1,
    path: parseRelativePath("docs/a.txt"),
    action: "update",
    kind: "file",
    sizeBytes: 1500,
    state: "refused",
    code: "not_owned",
    reason: "not yours",
    attempts: 1,
    nextAttemptMs: 0,
    sinceMs: Date.parse("2026-11-22T10:00:00Z"),
    movedTo: null,
    movedFrom: null,
    confirmed: false,
  } as const;
  assert.deepEqual(pendingLines([{ peer: "bert", pending }]), [
    "bert  refused  update  1.5 kB  docs/a.txt",
    "    not yours (tried 1 time)",
  ]);
  const moved = {
    ...pending,
    action: "delete",
    state: "waiting",
    code: null,
    reason: null,
    attempts: 0,
  } as const;
  const movedTo = parseRelativePath("docs/b.txt");
  assert.deepEqual(pendingLines([{ peer: "bert", pending: { ...moved, movedTo } }]), [
    "bert  waiting  delete    docs/a.txt",
    "    goes when docs/b.txt has arrived",
  ]);
  assert.deepEqual(pendingJson({ peer: "bert", pending }), {
    peer: "bert",
    path: "docs/a.txt",
    action: "update",
    kind: "file",
    size: 1500,
    state: "refused",
    code: "not_owned",
    reason: "not yours",
    attempts: 1,
    nextAttempt: null,
    since: "2026-11-22T10:00:00.000Z",
    movedTo: null,
    movedFrom: null,
  });
});
