import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { TlsNetwork } from "../../src/link/tls_network.ts";
import { parseAddress } from "../../src/link/address.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { helloFields } from "../../src/wire/hello.ts";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { frame, operation } from "../helpers/plain_client.ts";
import { exists, put, sha256 } from "../helpers/tree.ts";
import { assertAtRest, copiesIn, FarEnd, helloOf } from "../receive/support.ts";
import { Pair } from "./pair.ts";

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

const OLD = randomBytes(600_000);
const NEW = new Uint8Array([...OLD.subarray(0, 300_000), 7, ...OLD.subarray(300_000)]);

/** A trusted peer that lies: raw frames on a real connection to a running home, after an honest hello. */
async function connect(pair: Pair): Promise<{ far: FarEnd; raw: (bytes: Uint8Array) => Promise<void> }> {
  const { anna, bert } = pair;
  const network = new TlsNetwork({
    identity: () => anna.identity,
    trusted: () => [bert.identity],
    clock: new SystemClock(),
  });
  const connection = await network.dial(
    parseAddress(bert.address),
    bert.identity.fingerprint,
    new AbortController().signal,
  );
  const far = new FarEnd(connection);
  await far.accepted({ id: "hello", action: "hello", ...helloFields(helloOf("anna")) });
  return { far, raw: (bytes) => connection.write(bytes) };
}

function piece(
  id: string,
  offset: number,
  end: number,
  more: JsonObject = {},
  whole: Uint8Array = NEW,
): JsonObject {
  const digest = sha256(whole.subarray(0, end));
  return {
    ...{ action: "piece", id, path: "big", size: whole.length, offset, length: end - offset, digest },
    ...more,
  };
}

/** Sends a file in two honest pieces. */
async function sendHonestly(far: FarEnd, whole: Uint8Array): Promise<void> {
  const upsert = { ...operation("update", "big", whole), pieces: true };
  for (const [from, to] of [[0, 200_000], [200_000, whole.length]] as const) {
    await far.send(piece(upsert.id, from, to, {}, whole), whole.subarray(from, to));
  }
  await far.accepted(upsert);
}

/** Unsigned LEB128, as scripts have it. */
function numbers(...values: number[]): number[] {
  return values.flatMap((value) => {
    const bytes: number[] = [];
    for (; value >= 128; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
    return [...bytes, value];
  });
}

const copy = (length: number, moved: number) =>
  numbers(length * 2 + 1, moved < 0 ? -moved * 2 - 1 : moved * 2);
const literal = (...bytes: number[]) => [...numbers(bytes.length * 2), ...bytes];
const script = (...steps: number[][]) => new Uint8Array(steps.flat());
const BUILT = { coding: "script", base: sha256(OLD) };

interface Lie {
  readonly more: JsonObject;
  readonly content: Uint8Array;
  /** What the message says. */
  readonly says: RegExp;
}

const LIES: Readonly<Record<string, Lie>> = {
  "a recipe that names bytes beyond the end of the base": {
    more: BUILT,
    content: script(copy(599_999, 0), copy(2, 0)),
    says: /recipe.*beyond the base/,
  },
  "a recipe that names bytes before its start": {
    more: BUILT,
    content: script(copy(10, -1), copy(599_991, 0)),
    says: /recipe.*beyond the base/,
  },
  "a recipe that makes too much": {
    more: BUILT,
    content: script(copy(600_000, 0), copy(600_000, -600_000)),
    says: /recipe.*more bytes than it should/,
  },
  "a recipe that makes too little": {
    more: BUILT,
    content: script(copy(300_000, 0), literal(7)),
    says: /recipe.*fewer bytes than it should/,
  },
  "a recipe of steps that make nothing, without end": {
    more: BUILT,
    content: new Uint8Array(200_000),
    says: /recipe.*or none/,
  },
  "a recipe that copies the same over and over, to fill the disk": {
    more: { ...BUILT, length: 600_000 * 50_000, size: 600_000 * 50_000 },
    content: script(...Array.from({ length: 50_000 }, () => copy(600_000, -600_000))),
    says: /no room|makes more than/,
  },
  "the same without having announced it": {
    more: { ...BUILT, length: 600_000 * 50_000 },
    content: script(...Array.from({ length: 50_000 }, () => copy(600_000, -600_000))),
    says: /makes more than/,
  },
  "a recipe with a number that is none": {
    more: BUILT,
    content: new Uint8Array([255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
    says: /recipe.*number/,
  },
  "a recipe that ends inside its bytes": {
    more: BUILT,
    content: script(numbers(1000), [1, 2, 3]),
    says: /recipe.*ends inside/,
  },
  "a gzip bomb": {
    more: { coding: "gzip", raw: 1000 },
    content: gzipSync(new Uint8Array(50_000_000)),
    says: /gzip.*longer than it says/,
  },
  "a gzip bomb that says so": {
    more: { coding: "gzip", raw: 50_000_000 },
    content: gzipSync(new Uint8Array(50_000_000)),
    says: /longer than 1048576 bytes when unpacked/,
  },
  "a gzip that is cut off": {
    more: { coding: "gzip", raw: NEW.length },
    content: gzipSync(NEW).subarray(0, 300_000),
    says: /gzip is damaged/,
  },
  "a gzip of less than it says": {
    more: { coding: "gzip", raw: NEW.length },
    content: gzipSync(NEW.subarray(1)),
    says: /shorter when unpacked/,
  },
  "a chunk that is shorter than it says": {
    more: {},
    content: NEW.subarray(0, 500_000),
    says: /another length/,
  },
  "a chunk that begins beyond the start": {
    more: { offset: 1 },
    content: NEW,
    says: /missing or came twice/,
  },
};

Deno.test("bad content over a real link: each is refused with a reason, the link and the version before stay", async (t) => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  bert.trust(anna);
  await bert.start();
  const { far, raw } = await connect(pair);
  const big = async () => sha256(await Deno.readFile(`${bert.synced}/big`));
  await sendHonestly(far, OLD);

  /** The same link is served, nothing is left of the lie, and the truth is taken. */
  async function stillRight(): Promise<void> {
    assert.equal(await big(), sha256(OLD), "the version before is there");
    await far.accepted(operation("create", "small", "s"), "s");
    await sendHonestly(far, NEW);
    assert.equal(await big(), sha256(NEW));
    await sendHonestly(far, OLD);
    await eventually("nothing is staged", () => assertAtRest(bert.synced));
    assert.deepEqual(await copiesIn(bert.synced), []);
    assert.equal(far.ended, false);
  }

  for (const [lie, { more, content, says }] of Object.entries(LIES)) {
    await t.step(lie, async () => {
      const { id } = operation("update", "big", NEW);
      const refusal = await far.refused({ ...piece(id, 0, NEW.length, more), id }, content);
      assert.match(String(refusal.code), /^(bad_content|no_space)$/);
      assert.match(String(refusal.message), says);
      await far.send({ action: "abort", id });
      await stillRight();
    });
  }

  await t.step("chunks that overlap", async () => {
    const { id } = operation("update", "big", NEW);
    await far.send(piece(id, 0, 300_000), NEW.subarray(0, 300_000));
    const refusal = await far.refused({ ...piece(id, 200_000, 500_000), id }, NEW.subarray(200_000, 500_000));
    assert.match(String(refusal.message), /missing or came twice/);
    await stillRight();
  });

  await t.step("chunks that sum to another size, and to another hash", async () => {
    for (const lie of [{ size: NEW.length + 1 }, { hash: sha256(OLD) }]) {
      const update = { ...operation("update", "big", NEW), ...lie, pieces: true };
      await far.send(piece(update.id, 0, NEW.length), NEW);
      const refusal = await far.refused(update);
      assert.match(String(refusal.code), "size" in lie ? /bad_content/ : /hash_mismatch/);
      await stillRight();
    }
  });

  await t.step("a chunk that never is what its hash says", async () => {
    const { id } = operation("update", "big", NEW);
    const refused = far.refused({ ...piece(id, 0, NEW.length), id }, NEW.toReversed());
    for (let turn = 1; turn <= 4; turn++) {
      await eventually(
        `it is asked for again (${turn})`,
        () =>
          assert.ok(
            far.frames.some(({ header }) =>
              header.action === "resume" && header.id === id && header.turn === turn
            ),
          ),
      );
      await far.send(piece(id, 0, NEW.length, { turn }), NEW.toReversed());
    }
    const refusal = await refused;
    assert.equal(refusal.code, "hash_mismatch");
    assert.match(String(refusal.message), /damaged again and again/);
    const rows = bert.command((store) => store.log.newest(100, "big"));
    assert.equal(rows.filter(({ action }) => action === "repair").length, 4, "each is in the log");
    await stillRight();
  });

  await t.step("a chunk in whose middle the link is cut", async () => {
    const { id } = operation("update", "big", NEW);
    const whole = frame(piece(id, 0, NEW.length), NEW);
    await raw(whole.subarray(0, 400_000));
    far.close();
    await eventually("it is over", () => assert.equal(bert.running!.status().transfers.length, 0));
    assert.equal(await big(), sha256(OLD));
    const again = await connect(pair);
    await sendHonestly(again.far, NEW);
    assert.equal(await big(), sha256(NEW));
    again.far.close();
  });
  bert.assertQuiet();
});

/** Whether the link of a pair was ever lost. */
const linksLost = ({ anna, bert }: Pair) =>
  [...anna.events, ...bert.events].filter(({ kind }) => kind === "link_down").length;

Deno.test("bad content: a base that is edited by hand while it is copied from", async () => {
  await using pair = await Pair.running();
  const { anna, bert } = pair;
  const v1 = randomBytes(20_000_000), v2 = v1.slice();
  for (const at of [100, 9_000_000, 19_000_000]) crypto.getRandomValues(v2.subarray(at, at + 50));
  await put(`${anna.watched}/big`, v1);
  await pair.mirrored();
  const edit = randomBytes(3_000_000);
  let edited = false;
  bert.before = async ({ method, args }) => {
    if (edited || method !== "readAt" || args[0] !== "big" || Number(args[1]) < 5_000_000) return;
    edited = true;
    using file = await Deno.open(`${bert.synced}/big`, { write: true });
    await file.seek(12_000_000, Deno.SeekMode.Start);
    for (let at = 0; at < edit.length;) at += await file.write(edit.subarray(at));
  };
  await put(`${anna.watched}/big`, v2);
  await eventually("the new version is there", async () => {
    assert.equal(sha256(await Deno.readFile(`${bert.synced}/big`)), sha256(v2));
  });
  assert.equal(edited, true);
  const copies = await copiesIn(bert.synced);
  assert.equal(copies.length, 1, "the edit is kept");
  const kept = await Deno.readFile(`${bert.synced}/${copies[0]}`);
  assert.equal(sha256(kept.subarray(12_000_000, 15_000_000)), sha256(edit));
  assert.equal(linksLost(pair), 0);
  bert.assertQuiet();
});

Deno.test("bad content: a file that shrinks under its reader, to the half and to nothing", async () => {
  for (const [what, sizeBytes] of [["half", 6_000_000], ["nothing", 0]] as const) {
    await using pair = await Pair.running();
    const { anna, bert } = pair;
    const v1 = randomBytes(300_000), v2 = randomBytes(12_000_000);
    await put(`${anna.watched}/big`, v1);
    await pair.mirrored();
    let writes = 0, shrunk = false;
    const seen = new Set<string>();
    bert.before = async ({ method }) => {
      if (method !== "write") return;
      if (++writes === 20) {
        await Deno.truncate(`${anna.watched}/big`, sizeBytes);
        shrunk = true;
      }
      if (writes % 5 === 0) seen.add(sha256(await Deno.readFile(`${bert.synced}/big`)));
    };
    await put(`${anna.watched}/big`, v2);
    await eventually("it shrank", () => assert.ok(shrunk));
    await pair.mirrored();
    assert.equal((await Deno.stat(`${bert.synced}/big`)).size, sizeBytes, what);
    const versions = [v1, v2, v2.subarray(0, sizeBytes)].map((version) => sha256(version));
    for (const hash of seen) assert.ok(versions.includes(hash), "a version that never existed");
    assert.deepEqual(await copiesIn(bert.synced), []);
    assert.equal(linksLost(pair), 0);
    await eventually("nothing is left", () => assertAtRest(bert.synced));
  }
});

/** Why no small file system can be mounted here; `null` when one can. */
function whyNoMount(): string | null {
  if (Deno.build.os !== "linux") return "tmpfs is Linux's";
  if (Deno.uid() !== 0) return "mounting needs root";
  const folder = Deno.makeTempDirSync();
  try {
    const mount = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder);
    return mount ?? run("umount", folder);
  } finally {
    Deno.removeSync(folder);
  }
}

/** Runs a command; what it complained of if it failed. */
function run(command: string, ...args: string[]): string | null {
  try {
    const { success, stderr } = new Deno.Command(command, { args }).outputSync();
    return success ? null : new TextDecoder().decode(stderr).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return `there is no ${command}`;
    throw error;
  }
}

const noMount = whyNoMount();

Deno.test({
  name: `bad content: a disk that fills half-way, and is freed again${
    noMount === null ? "" : ` (${noMount})`
  }`,
  ignore: noMount !== null,
  async fn() {
    await using pair = await Pair.make();
    const { anna, bert } = pair;
    assert.equal(run("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", bert.synced), null);
    try {
      await pair.start();
      const v1 = randomBytes(300_000), v2 = randomBytes(24_000_000);
      await put(`${anna.watched}/big`, v1);
      await pair.mirrored();
      // Somebody else takes the room when half of it is there.
      let writes = 0;
      bert.before = ({ method }) => {
        if (method === "write" && ++writes === 40) fill(`${bert.synced}/mine`);
      };
      await put(`${anna.watched}/big`, v2);
      const row = await eventually("it is refused for want of room", () => {
        const [row] = anna.command((store) => store.pending.list(1));
        assert.equal(row?.code, "no_space");
        return row!;
      });
      assert.equal(row.state, "waiting", "it is tried again");
      assert.match(row.reason ?? "", /no space|no room|full/i);
      assert.equal(
        sha256(await Deno.readFile(`${bert.synced}/big`)),
        sha256(v1),
        "the version before is there",
      );
      const problems = () => [...bert.running!.status().problems, ...anna.running!.status().problems];
      assert.deepEqual(problems().map(({ code }) => code), ["no_space", "peer_no_space"]);
      // Half of it does not stay in the way of others.
      await eventually("what had come is freed", () => assertAtRest(bert.synced));
      await Deno.remove(`${bert.synced}/mine`);
      await eventually("the file is there", async () => {
        assert.equal(sha256(await Deno.readFile(`${bert.synced}/big`)), sha256(v2));
      }, { everyMs: 50 });
      assert.equal(linksLost(pair), 0);
      assert.equal(await exists(`${bert.synced}/mine`), false);
    } finally {
      await pair.stop();
      assert.equal(run("umount", bert.synced), null);
    }
  },
});

/** Writes a file until the disk is full. */
function fill(path: string): void {
  using file = Deno.openSync(path, { write: true, create: true });
  const block = new Uint8Array(65_536);
  try {
    for (;;) file.writeSync(block);
  } catch (error) {
    if (!/os error 28/.test(String(error))) throw error;
  }
}
