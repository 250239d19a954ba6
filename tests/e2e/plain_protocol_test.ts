import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createGzip, deflateRawSync, gzipSync } from "node:zlib";
import { eventually } from "../helpers/eventually.ts";
import type { JsonObject } from "../helpers/json.ts";
import { frame, makeIdentity, operation, PlainClient, type PlainIdentity } from "../helpers/plain_client.ts";
import { PlainServer } from "../helpers/plain_server.ts";
import { freePort, type Peer, World } from "../helpers/program.ts";
import { assertFile, assertGone, exists, filesWithContent, put, sha256, snapshot } from "../helpers/tree.ts";

const encoder = new TextEncoder();

/** A running peer and a client that it trusts. */
interface Served extends AsyncDisposable {
  readonly world: World;
  readonly peer: Peer;
  readonly identity: PlainIdentity;
  connect(): Promise<PlainClient>;
}

/** Makes a peer that trusts a plain client, and starts it. */
async function served(): Promise<Served> {
  const world = await World.create();
  try {
    const peer = await world.peer("anna");
    const identity = await makeIdentity("plain");
    await Deno.writeTextFile(`${world.folder}/plain.pem`, identity.certificate);
    await peer.trust(`${world.folder}/plain.pem`, { name: "plain" });
    await peer.start();
    const connect = () => PlainClient.connect({ port: peer.port, server: peer.certificate, identity });
    return { world, peer, identity, connect, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
  } catch (error) {
    await world[Symbol.asyncDispose]();
    throw error;
  }
}

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

function without(header: JsonObject, field: string): JsonObject {
  return Object.fromEntries(Object.entries(header).filter(([key]) => key !== field));
}

Deno.test("the plain protocol is served in full", async (t) => {
  await using all = await served();
  const { peer } = all;
  await using client = await all.connect();
  const at = (path: string) => `${peer.synced}/${path}`;

  await t.step("create, update, delete", async () => {
    await client.accepted(operation("create", "file.txt", "one"), "one");
    const seen = (await peer.objects("peer", "list")).find(({ name }) => name === "plain");
    assert.notEqual(seen?.["since"], null, "the owner sees that the client has been here");
    // An acknowledgement means that it is there: no waiting.
    assert.equal(await Deno.readTextFile(at("file.txt")), "one");
    assert.equal((await Deno.stat(at("file.txt"))).mtime?.toISOString(), "2026-03-04T05:06:07.089Z");
    await client.accepted(operation("update", "file.txt", "two, longer"), "two, longer");
    assert.equal(await Deno.readTextFile(at("file.txt")), "two, longer");
    await client.accepted(operation("delete", "file.txt"));
    assert.equal(await exists(at("file.txt")), false);
  });

  await t.step("create and update are the same upsert", async () => {
    await client.accepted(operation("update", "never created", "x"), "x");
    await client.accepted(operation("create", "never created", "y"), "y");
    assert.equal(await Deno.readTextFile(at("never created")), "y");
    await client.accepted(operation("create", "never created", ""), "");
    assert.equal(await Deno.readTextFile(at("never created")), "");
  });

  await t.step("missing parents are made", async () => {
    await client.accepted(operation("create", "p/q/r/s.txt", "deep"), "deep");
    assert.equal(await Deno.readTextFile(at("p/q/r/s.txt")), "deep");
    const deep = Array.from({ length: 200 }, (_, i) => `l${i}`).join("/");
    await client.accepted(operation("update", `${deep}/bottom`, "200 down"), "200 down");
    assert.equal(await Deno.readTextFile(at(`${deep}/bottom`)), "200 down");
  });

  await t.step("names that are odd but allowed", async () => {
    for (
      const path of [
        "new\nline",
        "back\\slash",
        "..a",
        "a..",
        "…",
        "😀/é",
        "-rf",
        "C",
        "n".repeat(255),
        "a:b",
      ]
    ) {
      await client.stillServes(path, `content of ${path}`);
      assert.equal(await Deno.readTextFile(at(path)), `content of ${path}`);
    }
  });

  await t.step("compressed content, with every option that a gzip member can have", async () => {
    const text = "compressible ".repeat(10_000);
    const member = gzipSync(encoder.encode(text));
    await client.accepted(operation("create", "zipped", text, { compressed: true }), member);
    assert.equal(await Deno.readTextFile(at("zipped")), text);
    // With a file name, a comment and an extra field, as `gzip FILE` and others write them.
    const raw = deflateRawSync(encoder.encode("named"));
    const trailer = new Uint8Array(8);
    const view = new DataView(trailer.buffer);
    view.setUint32(0, crc32("named"), true);
    view.setUint32(4, 5, true);
    const named = new Uint8Array([
      ...[0x1f, 0x8b, 8, 0x1c, 0, 0, 0, 0, 0, 3],
      ...[2, 0, 7, 7],
      ...encoder.encode("name\0comment\0"),
      ...raw,
      ...trailer,
    ]);
    await client.accepted(operation("create", "zipped with name", "named", { compressed: true }), named);
    assert.equal(await Deno.readTextFile(at("zipped with name")), "named");
    await client.accepted(operation("create", "zipped empty", "", { compressed: true }), gzipSync(""));
    assert.equal((await Deno.stat(at("zipped empty"))).size, 0);
    // Incompressible: the member is larger than the file, within the limit.
    const noise = randomBytes(300_000);
    await client.accepted(
      operation("create", "zipped noise", noise, { compressed: true }),
      gzipSync(noise, { level: 0 }),
    );
    assert.equal(sha256(await Deno.readFile(at("zipped noise"))), sha256(noise));
  });

  await t.step("a file of 64 MiB, plain and compressed", async () => {
    const large = randomBytes(64 * 1024 * 1024);
    await client.accepted(operation("create", "large", large), large);
    assert.equal((await snapshot(peer.synced)).get("large")?.hash, sha256(large));
    large.fill(7, 1024 * 1024);
    await client.accepted(
      operation("update", "large", large, { compressed: true }),
      gzipSync(large, { level: 1 }),
    );
    assert.equal((await snapshot(peer.synced)).get("large")?.hash, sha256(large));
    await client.accepted(operation("delete", "large"));
  });

  await t.step("frames in pieces of one byte, and several frames in one piece", async () => {
    const bytes = frame(operation("create", "bytewise", "bytewise"), encoder.encode("bytewise"));
    for (let i = 0; i < bytes.length; i++) await client.send(bytes.subarray(i, i + 1));
    assert.equal((await client.reply())?.status, "ok");
    const ids = new Set<unknown>();
    const together: number[] = [];
    for (let i = 0; i < 20; i++) {
      const header = operation("create", `together ${i}`, `${i}`);
      ids.add(header.id);
      together.push(...frame(header, encoder.encode(`${i}`)));
    }
    await client.send(new Uint8Array(together));
    // Replies may come out of order.
    for (let i = 0; i < 20; i++) {
      const reply = await client.reply();
      assert.equal(reply?.status, "ok");
      assert.equal(ids.delete(reply?.id), true, "each operation gets one reply");
    }
    assert.equal(client.unread, 0);
  });

  await t.step("the same operation again is acknowledged again and does nothing", async () => {
    const header = operation("create", "twice", "twice");
    await client.accepted(header, "twice");
    const before = await Deno.stat(at("twice"));
    const files = (await snapshot(peer.synced, { hashes: false })).size;
    await client.accepted(header, "twice");
    await client.accepted(operation("update", "twice", "twice"), "twice");
    const after = await Deno.stat(at("twice"));
    assert.equal(after.ino, before.ino);
    assert.equal(after.mtime?.getTime(), before.mtime?.getTime());
    assert.equal((await snapshot(peer.synced, { hashes: false })).size, files);
  });

  await t.step("the same id with another state is another operation", async () => {
    const id = crypto.randomUUID();
    await client.accepted(operation("create", "one id", "first", { id }), "first");
    await client.accepted(operation("update", "one id", "second", { id }), "second");
    assert.equal(await Deno.readTextFile(at("one id")), "second");
    await client.accepted(operation("update", "one id", "first", { id }), "first");
    assert.equal(await Deno.readTextFile(at("one id")), "first");
    await client.accepted(operation("delete", "one id", "", { id }));
    assert.equal(await exists(at("one id")), false);
  });

  await t.step("timestamp is RFC 3339, sets the mtime and never decides an order", async () => {
    for (
      const [timestamp, mtime] of [
        ["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000Z"],
        ["2026-11-22T10:00:00.5Z", "2026-11-22T10:00:00.500Z"],
        ["2026-11-22T10:00:00.123456789Z", "2026-11-22T10:00:00.123Z"],
        ["2026-11-22T12:00:00.250+02:00", "2026-11-22T10:00:00.250Z"],
        ["2026-11-22T05:30:00-04:30", "2026-11-22T10:00:00.000Z"],
        ["1969-07-20T20:17:40.000Z", "1969-07-20T20:17:40.000Z"],
        ["2001-01-01T00:00:00.000Z", "2001-01-01T00:00:00.000Z"],
      ]
    ) {
      await client.accepted(
        operation("update", "dated", `at ${timestamp}`, { timestamp }),
        `at ${timestamp}`,
      );
      assert.equal(
        await Deno.readTextFile(at("dated")),
        `at ${timestamp}`,
        "an older time is no older version",
      );
      assert.equal((await Deno.stat(at("dated"))).mtime?.toISOString(), mtime, timestamp);
    }
  });

  await t.step("header fields that it doesn't know are ignored", async () => {
    const more = {
      colour: "blue",
      nested: { deep: [1, null] },
      "": 0,
      "__proto__": { path: "/etc" },
      constructor: 1,
    };
    await client.accepted(operation("create", "more fields", "x", more), "x");
    const raw = JSON.stringify(operation("create", "spaced", "x")).replace(
      "{",
      '\n {\t"__proto__": {"path": "p"}, ',
    );
    await client.send(frame(raw, encoder.encode("x")));
    assert.equal((await client.reply())?.status, "ok");
    assert.equal(await Deno.readTextFile(at("spaced")), "x");
  });

  await t.step("an action that it doesn't know is an error and the link stays", async () => {
    for (const action of ["rename", "CREATE", "", "toString", "__proto__"]) {
      await client.refused({ ...operation("create", "unknown", "content"), action }, "content");
    }
    await client.refused(
      { id: crypto.randomUUID(), action: "x-future", anything: [1, 2, 3] },
      randomBytes(100_000),
    );
    await client.stillServes("after unknown actions");
    assert.equal(await exists(at("unknown")), false);
  });

  await t.step("delete of what is absent is ok; size and hash do not matter for it", async () => {
    await client.accepted(operation("delete", "was never there"));
    await client.accepted(operation("delete", "no/such/parents/either"));
    await client.stillServes("to be deleted");
    const header = operation("delete", "to be deleted", "other content");
    await client.accepted(without(without(header, "size"), "hash"));
    assert.equal(await exists(at("to be deleted")), false);
  });

  await t.step("delete is never recursive", async () => {
    await client.stillServes("full/file");
    await client.refused(operation("delete", "full"));
    assert.equal(await exists(at("full/file")), true);
  });

  await t.step("a non-empty folder in the way, or a file where a parent must be, is an error", async () => {
    await client.refused(operation("create", "full", "file"), "file");
    assert.equal(await exists(at("full/file")), true);
    await client.stillServes("a file");
    await client.refused(operation("create", "a file/below", "x"), "x");
    await client.refused(operation("create", "a file/far/below", "x"), "x");
    assert.equal(await Deno.readTextFile(at("a file")), "honest a file");
    await client.stillServes("after both");
  });

  await t.step("a client that half-closes gets its replies", async () => {
    await using half = await all.connect();
    const large = randomBytes(3_000_000);
    await half.send(frame(operation("create", "half 1", "one"), encoder.encode("one")));
    await half.send(frame(operation("create", "half 2", large), large));
    half.closeWrite();
    assert.equal((await half.reply())?.status, "ok");
    assert.equal((await half.reply())?.status, "ok");
    await half.end();
    assert.equal(await Deno.readTextFile(at("half 1")), "one");
    assert.equal((await Deno.stat(at("half 2"))).size, large.length);
  });

  await t.step("a client that sent no hello gets nothing but replies", async () => {
    await put(`${peer.watched}/for the client`, "not to be sent on this link");
    await eventually("it was seen", async () => {
      assert.equal((await peer.rows("for the client", "pending")).length, 1);
    });
    await client.stillServes("after it was seen");
    // PlainClient fails on any frame that is no reply.
    assert.equal(client.error, null);
    assert.equal(client.unread, 0);
  });

  await t.step("the log has every operation", async () => {
    const rows = await peer.query("SELECT path, action FROM log");
    assert.ok(rows.some((row) => row.path === "p/q/r/s.txt" && row.action === "create"));
    assert.ok(rows.some((row) => row.path === "file.txt" && row.action === "delete"));
  });
});

Deno.test("what is wrong in an operation is refused, nothing is lost, and the link serves on", async (t) => {
  await using all = await served();
  const { peer, world } = all;
  await using client = await all.connect();
  const at = (path: string) => `${peer.synced}/${path}`;
  await client.stillServes("precious", "precious");

  /** Checks that nothing changed but what honest operations did. */
  let honest = 0;
  const unharmed = async () => {
    assert.equal(await Deno.readTextFile(at("precious")), "precious");
    const made = await exists(at("bad"));
    if (made) await client.request(operation("delete", "bad")); // so that the next steps can be judged
    assert.equal(made, false, "something refused was made");
    await client.stillServes(`honest/${++honest}`);
    const outside = [...(await snapshot(world.folder, { hashes: false })).keys()].filter((path) =>
      !path.includes("/")
    );
    assert.deepEqual(outside.sort(), ["anna", "plain.pem"]);
    const folders = await Array.fromAsync(Deno.readDir(peer.folder), (entry) => entry.name);
    assert.deepEqual(folders.sort(), ["anna.pem", "home", "synced", "watched"]);
  };

  await t.step("a header that lies about size or hash", async () => {
    for (const path of ["bad", "precious"]) {
      await client.refused(operation("update", path, "content", { hash: sha256("other") }), "content");
      await client.refused(operation("update", path, "content", { size: 6 }), "content");
      await client.refused(operation("update", path, "content", { size: 8 }), "content");
      await client.refused(operation("update", path, "content", { size: 0 }), "content");
      await client.refused(operation("update", path, "content"), "");
      await client.refused(operation("update", path, ""), "content");
      const zipped = gzipSync("content");
      await client.refused(operation("update", path, "content", { compressed: true, size: 6 }), zipped);
      await client.refused(operation("update", path, "content", { compressed: true, size: 8 }), zipped);
      await client.refused(operation("update", path, "other!!", { compressed: true }), zipped);
    }
    await unharmed();
  });

  await t.step("compressed content that is not exactly one gzip member", async () => {
    const member = gzipSync("content");
    const damaged = member.slice();
    damaged[member.length - 6] = (damaged[member.length - 6] ?? 0) ^ 0xff;
    for (
      const [what, content] of [
        ["something after it", new Uint8Array([...member, 0])],
        ["zeros after it", new Uint8Array([...member, ...new Uint8Array(512)])],
        ["a second member", new Uint8Array([...member, ...gzipSync("")])],
        ["cut off", member.subarray(0, member.length - 3)],
        ["cut off before the trailer", member.subarray(0, member.length - 8)],
        ["a wrong checksum", damaged],
        ["not gzip", encoder.encode("content")],
        ["nothing", new Uint8Array()],
        ["only a gzip header", member.subarray(0, 10)],
      ] as const
    ) {
      const reply = await client.request(
        operation("create", "bad", "content", { compressed: true }),
        content,
      );
      assert.equal(reply.status, "error", `${what} was accepted`);
    }
    const two = new Uint8Array([...gzipSync("con"), ...gzipSync("tent")]);
    await client.refused(operation("create", "bad", "content", { compressed: true }), two);
    const twoMembers = operation("create", "bad", "content", { compressed: false });
    await client.refused(twoMembers, member);
    await unharmed();
  });

  await t.step("a gzip bomb", async () => {
    const bomb = await zippedZeros(512 * 1024 * 1024);
    // Says 8 MiB (which the bomb's 5 MiB fit in), holds 512 MiB.
    const header = operation("create", "bad", "", {
      size: 8 * 1024 * 1024,
      hash: sha256("x"),
      compressed: true,
    });
    await client.refused(header, bomb);
    // The same as content that is right.
    const all = { size: 512 * 1024 * 1024, hash: hashOfZeros(512 * 1024 * 1024), compressed: true };
    await client.accepted(operation("create", "zeros", "", all), bomb);
    await client.accepted(operation("delete", "zeros"));
    await unharmed();
    const status = await Deno.readTextFile(`/proc/${peer.running?.pid}/status`).catch(() => "");
    const peak = /^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1];
    if (peak !== undefined) assert.ok(Number(peak) < 200 * 1024, `peak memory is ${peak} kB`);
  });

  await t.step("each field missing or mistyped in turn", async () => {
    const good = operation("create", "bad", "content");
    const wrong: Readonly<Record<string, readonly unknown[]>> = {
      id: [5, null, {}, [], true],
      action: [5, null, {}, ["create"]],
      path: [5, null, {}, ["bad"], true],
      timestamp: [
        5,
        null,
        "",
        "yesterday",
        "2026-13-45T00:00:00Z",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "10:00",
        {},
      ],
      size: ["7", null, -1, 7.5, 1e300, -0.5, 2 ** 53, {}, [7], true],
      hash: [5, null, "", "xyz", sha256("content").slice(1), sha256("content") + "0", "g".repeat(64), {}],
      sender: [5, null, {}, []],
      compressed: ["false", 0, 1, null, {}],
    };
    for (const [field, values] of Object.entries(wrong)) {
      const missing = await client.request(without(good, field), "content");
      assert.equal(missing.status, "error", `accepted without ${field}`);
      for (const value of values) {
        const reply = await client.request({ ...good, [field]: value }, "content");
        assert.equal(reply.status, "error", `accepted with ${field} ${JSON.stringify(value)}`);
      }
    }
    await unharmed();
  });

  await t.step("headers that are not JSON, or not an object", async () => {
    const good = JSON.stringify(operation("create", "bad", "content"));
    for (
      const header of [
        "",
        "not JSON",
        "{",
        good + "x",
        good.slice(0, -1),
        "null",
        "5",
        '"text"',
        "[]",
        `[${good}]`,
        "{}",
        "\0\0\0\0",
        new Uint8Array([0xff, 0xfe, 0x7b, 0x7d]),
        new Uint8Array([...encoder.encode(good.slice(0, 20)), 0xc3, 0x28, ...encoder.encode(good.slice(20))]),
        "[".repeat(60_000),
        '{"a":'.repeat(10_000),
      ]
    ) {
      await client.send(frame(header, encoder.encode("content")));
      const reply = await client.reply();
      assert.equal(reply?.status, "error", `${String(header).slice(0, 100)}: ${JSON.stringify(reply)}`);
    }
    await unharmed();
  });

  await t.step("a frame that is a reply to nothing does no harm", async () => {
    await client.send(frame({ status: "ok", id: crypto.randomUUID() }));
    await client.send(frame({ status: "ok" }));
    // An error may come back for it or nothing; an honest operation must get its own reply.
    const header = operation("create", "after a stray reply", "x");
    await client.send(frame(header, encoder.encode("x")));
    for (let reply = await client.reply();; reply = await client.reply()) {
      assert.ok(reply, "the link was closed for a stray reply");
      if (reply.id !== header.id) continue;
      assert.equal(reply.status, "ok");
      break;
    }
    await unharmed();
  });

  await t.step("paths that lead out, or that no file can have", async () => {
    const before = (await snapshot(peer.synced)).size;
    const long = Array.from({ length: 30 }, () => "x".repeat(149)).join("/");
    const bad = [
      "",
      "/",
      "/etc/passwd",
      `${world.folder}/escaped`,
      ".",
      "..",
      "../escaped",
      "../watched/escaped",
      "a/../escaped",
      "a/../../escaped",
      "a/..",
      "./escaped",
      "a/./b",
      "a/.",
      "a//b",
      "a/",
      "//server/share/x",
      "\\\\server\\share\\x",
      "C:\\escaped",
      "C:/escaped",
      "c:",
      "nul\0byte",
      "a/nul\0/b",
      "\0",
      "n".repeat(256),
      "é".repeat(128),
      "😀".repeat(64),
      `${long}/x`.slice(0, 4097),
      "cafe\u0301",
      "e\u0301/x",
      "\ud800",
      "a\udc00b",
      ".mirrorsync-staging/x",
      ".mirrorsync-staging",
    ];
    for (const path of bad) {
      await client.refused(operation("create", path, "escaped"), "escaped");
      // A name that is only too long for the disk is absent, which is fine for a delete.
      if (!/^(?:n{2,}|é{2,}|(?:😀)+)$/.test(path)) await client.refused(operation("delete", path));
    }
    assert.deepEqual((await snapshot(peer.synced)).size, before, "nothing was made");
    assert.equal(await exists(`${world.folder}/escaped`), false);
    await unharmed();
  });

  await t.step("a symlink planted in synced, to lead writes outside", async () => {
    const outside = await Deno.makeTempDir({ prefix: "mirrorsync-outside-" });
    try {
      await put(`${outside}/secret`, "secret");
      await Deno.symlink(outside, at("link"));
      await Deno.mkdir(at("sub"));
      await Deno.symlink("../link", at("sub/chain"));
      await Deno.symlink(`${outside}/secret`, at("filelink"));
      await Deno.symlink(`${outside}/made`, at("dangling"));
      for (const path of ["link/x", "link/secret", "link/new/x", "sub/chain/x", "sub/chain/secret"]) {
        await client.refused(operation("create", path, "escaped"), "escaped");
        await client.request(operation("delete", path));
      }
      // On the link itself: refused, or the link makes room; never written through.
      for (const path of ["filelink", "dangling", "link", "sub/chain"]) {
        await client.request(operation("create", path, "escaped"), "escaped");
        await client.request(operation("delete", path));
      }
      assert.deepEqual([...(await snapshot(outside)).keys()], ["secret"]);
      assert.equal(await Deno.readTextFile(`${outside}/secret`), "secret");
    } finally {
      await Deno.remove(outside, { recursive: true });
    }
    await unharmed();
  });

  await t.step("files that never came from this peer", async () => {
    await put(at("own"), "hand made");
    await put(at("own too"), "hand made too");
    await client.request(operation("delete", "own too"));
    assert.equal(await Deno.readTextFile(at("own too")), "hand made too", "left alone");
    await client.accepted(operation("create", "own", "from the peer"), "from the peer");
    assert.equal(await Deno.readTextFile(at("own")), "from the peer");
    assert.equal((await filesWithContent(peer.synced, "hand made")).length, 1, "kept as a conflict copy");
    await put(at("precious 2"), "the same");
    const files = (await snapshot(peer.synced)).size;
    await client.accepted(operation("create", "precious 2", "the same"), "the same");
    assert.equal((await snapshot(peer.synced)).size, files, "adopted without a conflict copy");
    await client.accepted(operation("delete", "precious 2"));
    assert.equal(await exists(at("precious 2")), false, "adopted means owned");
    await unharmed();
  });

  await t.step("a file changed by hand since it came", async () => {
    await client.stillServes("edited by hand");
    await put(at("edited by hand"), "by hand");
    await client.accepted(operation("update", "edited by hand", "new"), "new");
    assert.equal(await Deno.readTextFile(at("edited by hand")), "new");
    assert.equal((await filesWithContent(peer.synced, "by hand")).length, 1);
    await put(at("edited by hand"), "by hand again");
    await client.accepted(operation("delete", "edited by hand"));
    assert.equal(await exists(at("edited by hand")), false);
    assert.equal((await filesWithContent(peer.synced, "by hand again")).length, 1);
    await unharmed();
  });

  await t.step("a path that another peer brought is refused", async () => {
    const other = await makeIdentity("other");
    await Deno.writeTextFile(`${peer.folder}/other.pem`, other.certificate);
    await peer.trust(`${peer.folder}/other.pem`, { name: "other" });
    await Deno.remove(`${peer.folder}/other.pem`);
    // A running run obeys within a second, so the first tries may still be turned away.
    await eventually("the new peer is served", async () => {
      await using stranger = await PlainClient.connect({
        port: peer.port,
        server: peer.certificate,
        identity: other,
      });
      await stranger.stillServes("of the other peer");
    });
    await using second = await PlainClient.connect({
      port: peer.port,
      server: peer.certificate,
      identity: other,
    });
    const reply = await second.refused(operation("update", "precious", "stolen"), "stolen");
    assert.match(String(reply.message), /\S/);
    await second.refused(operation("delete", "precious"));
    await client.refused(operation("delete", "of the other peer"));
    await unharmed();
  });
});

Deno.test("frames whose end cannot be known end their link and nothing else", async (t) => {
  await using all = await served();
  const { peer } = all;
  await using bystander = await all.connect();
  await bystander.stillServes("first");

  const huge = [1n << 63n, (1n << 64n) - 1n, (1n << 63n) - 1n, 1n << 53n, 1n << 40n];
  const honest = operation("create", "bad", "content");
  const cases: [string, Uint8Array][] = [
    ...huge.map((length): [string, Uint8Array] => [
      `a header of ${length} bytes`,
      frame(honest, encoder.encode("content"), { header: length }),
    ]),
    ...huge.map((length): [string, Uint8Array] => [
      `content of ${length} bytes`,
      frame(honest, encoder.encode("content"), { content: length }),
    ]),
    [
      "a header of 64 KiB and one byte",
      frame({ ...honest, padding: "x".repeat(70_000) }, encoder.encode("content")),
    ],
    [
      "a header of 16 MiB",
      frame({ ...honest, padding: "x".repeat(16 * 1024 * 1024) }, encoder.encode("content")),
    ],
    [
      "content of 1 TiB for a delete",
      frame(operation("delete", "first"), new Uint8Array(), { content: 1n << 40n }),
    ],
    ["an HTTP request", encoder.encode("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
    [
      "a size that is honest but larger than any disk",
      frame(
        operation("create", "bad", "", { size: 2 ** 52, hash: sha256("x") }),
        encoder.encode("start of it"),
        { content: 1n << 52n },
      ),
    ],
  ];
  for (const [what, bytes] of cases) {
    await t.step(what, async () => {
      await using client = await all.connect();
      await client.send(bytes).catch(() => {}); // it may hang up while we are still sending
      const reply = await client.reply();
      // Refused by an error, or by hanging up, or both; never accepted.
      assert.ok(reply === null || reply.status === "error", JSON.stringify(reply));
      await bystander.stillServes(`after ${what}`);
      assert.equal(await exists(`${peer.synced}/bad`), false);
      assert.equal(await exists(`${peer.synced}/first`), true);
    });
  }

  await t.step("a header of exactly 64 KiB is served", async () => {
    await using client = await all.connect();
    const header = { ...operation("create", "long header", "x"), padding: "" };
    const padding = "x".repeat(65_536 - JSON.stringify(header).length);
    await client.accepted({ ...header, padding }, "x");
  });

  await t.step("content cut off in the middle leaves nothing behind", async () => {
    const large = randomBytes(2_000_000);
    {
      await using client = await all.connect();
      await client.stillServes("cut off");
      await client.send(frame(operation("update", "cut off", large), large).subarray(0, 1_000_000));
    }
    {
      await using client = await all.connect();
      await client.send(frame(operation("update", "cut off", large), large).subarray(0, 1_500_000));
      client.closeWrite();
      const reply = await client.reply();
      assert.ok(reply === null || reply.status === "error");
    }
    assert.equal(await Deno.readTextFile(`${peer.synced}/cut off`), "honest cut off");
    await using client = await all.connect();
    await client.accepted(operation("update", "cut off", large), large);
    assert.equal((await snapshot(peer.synced)).get("cut off")?.hash, sha256(large));
  });

  await t.step("in the end only what was accepted is there", async () => {
    for (const path of (await snapshot(peer.synced)).keys()) {
      assert.ok(/^(?:first|after .*|long header|cut off)$/.test(path), path);
    }
    assert.equal(peer.running?.code, null);
  });
});

Deno.test("a peer that knows only the plain protocol is sent to by it", async (t) => {
  await using world = await World.create();
  const anna = await world.peer("anna");
  const identity = await makeIdentity("plain");
  const port = freePort();
  await Deno.writeTextFile(`${world.folder}/plain.pem`, identity.certificate);
  await anna.trust(`${world.folder}/plain.pem`, { name: "plain", address: `127.0.0.1:${port}` });
  const refusing = new Map<string, string>();
  const options = {
    identity,
    trusts: [anna.certificate],
    refuses: (header: JsonObject) => refusing.get(String(header.path)) ?? null,
  };
  await put(`${anna.watched}/before`, "before");
  {
    await using server = await PlainServer.listen(port, options);
    await anna.start();
    const has = (path: string, text: string) =>
      eventually(`the plain peer has ${path}`, () => assert.equal(server.text(path), text));

    await t.step("files, edits, deletions, renames, empty files", async () => {
      await has("before", "before");
      await put(`${anna.watched}/sub/folder/é 😀`, "deep");
      await put(`${anna.watched}/empty`, "");
      await has("sub/folder/é 😀", "deep");
      await has("empty", "");
      await Deno.utime(`${anna.watched}/empty`, 1_500_000_000.25, 1_500_000_000.25);
      await eventually("the time arrives", () => {
        assert.equal(Date.parse(server.files.get("empty")?.timestamp ?? ""), 1_500_000_000_250);
      });
      await put(`${anna.watched}/before`, "edited");
      await has("before", "edited");
      await Deno.rename(`${anna.watched}/sub`, `${anna.watched}/sub 2`);
      await has("sub 2/folder/é 😀", "deep");
      await Deno.remove(`${anna.watched}/empty`);
      await eventually("deletions arrive", () => {
        assert.equal(server.text("empty"), null);
        assert.equal(server.text("sub/folder/é 😀"), null);
      });
      server.assertNoViolation();
    });

    await t.step("many files, one at a time", async () => {
      for (let i = 0; i < 100; i++) await put(`${anna.watched}/many/${i}`, `${i}`);
      for (let i = 0; i < 100; i++) await has(`many/${i}`, `${i}`);
      server.assertNoViolation();
    });

    await t.step("a large file, and one that shrinks by compression", async () => {
      const large = randomBytes(20 * 1024 * 1024);
      await put(`${anna.watched}/large`, large);
      await put(`${anna.watched}/large text`, "shrinks very well indeed\n".repeat(400_000));
      await eventually("both are there", () => {
        assert.equal(sha256(server.files.get("large")?.content ?? ""), sha256(large));
        assert.equal(server.files.get("large text")?.content.length, 10_000_000);
      });
      assert.equal(server.files.get("large text")?.compressed, true);
      server.assertNoViolation();
    });

    await t.step("an error with the peer's own reason is kept in pending; the others go on", async () => {
      refusing.set("unwanted", "no room for the unwanted");
      await put(`${anna.watched}/unwanted`, "unwanted");
      await eventually("it was refused", () => {
        assert.ok(server.operations.some((header) => header.path === "unwanted"));
      });
      await put(`${anna.watched}/wanted`, "wanted");
      await has("wanted", "wanted");
      await eventually("pending tells the reason", async () => {
        const rows = await anna.rows("unwanted", "pending");
        assert.match(JSON.stringify(rows), /no room for the unwanted/);
      });
      refusing.clear();
      await anna.ok("pending", "retry");
      await has("unwanted", "unwanted");
      await eventually("nothing is pending", async () => {
        assert.deepEqual(await anna.rows("unwanted", "pending"), []);
      });
      server.assertNoViolation();
    });
  }

  await t.step("while the plain peer is away changes wait; they go out when it is back", async () => {
    await put(`${anna.watched}/while away`, "while away");
    await Deno.remove(`${anna.watched}/many`, { recursive: true });
    await eventually("it is pending", async () => {
      assert.equal((await anna.rows("while away", "pending")).length, 1);
    });
    await anna.confirmDeletions();
    await using server = await PlainServer.listen(port, options);
    await eventually("it arrives, the deletions too", () => {
      assert.equal(server.text("while away"), "while away");
      assert.equal(
        server.operations.filter((header) =>
          header.action === "delete" && String(header.path).startsWith("many/")
        )
          .length,
        100,
      );
    }, { deadlineMs: 60_000 });
    server.assertNoViolation();
  });

  await t.step("a plain peer that dials in is served, too", async () => {
    await using client = await PlainClient.connect({ port: anna.port, server: anna.certificate, identity });
    await client.stillServes("from the plain peer");
    await assertFile(`${anna.synced}/from the plain peer`, "honest from the plain peer");
    await client.accepted(operation("delete", "from the plain peer"));
    await assertGone(`${anna.synced}/from the plain peer`);
  });
});

/** One gzip member of `length` zero bytes. */
function hashOfZeros(length: number): string {
  const hash = createHash("sha256");
  const zeros = new Uint8Array(1024 * 1024);
  for (let done = 0; done < length; done += zeros.length) hash.update(zeros);
  return hash.digest("hex");
}

async function zippedZeros(length: number): Promise<Uint8Array> {
  const gzip = createGzip({ level: 1 });
  const pieces: Uint8Array[] = [];
  gzip.on("data", (piece: Uint8Array) => pieces.push(new Uint8Array(piece)));
  const end = once(gzip, "end");
  const zeros = new Uint8Array(1024 * 1024);
  for (let written = 0; written < length; written += zeros.length) {
    if (!gzip.write(zeros)) await once(gzip, "drain");
  }
  gzip.end();
  await end;
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** The checksum of gzip, bit by bit. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (const byte of encoder.encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
