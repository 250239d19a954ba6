import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { frame, makeIdentity, operation, PlainClient } from "../helpers/plain_client.ts";
import { PlainServer } from "../helpers/plain_server.ts";
import { freePort, type Pair, runningPair, World } from "../helpers/program.ts";
import { assertFile, assertMirrored, exists, put, snapshot } from "../helpers/tree.ts";

const encoder = new TextEncoder();

/** Sends a file each way, which shows that the trusted peers are served. */
let markers = 0;
async function assertBothServed({ a, b }: Pair): Promise<void> {
  const name = `marker ${++markers}`;
  await put(`${a.watched}/${name}`, name);
  await put(`${b.watched}/${name}`, name);
  await assertFile(`${b.synced}/${name}`, name);
  await assertFile(`${a.synced}/${name}`, name);
}

/** Reads until the other side hangs up; everything that it said. */
async function readToEnd(connection: Deno.Conn): Promise<Uint8Array> {
  const pieces: number[] = [];
  const buffer = new Uint8Array(65_536);
  try {
    for (let read = await connection.read(buffer); read !== null; read = await connection.read(buffer)) {
      pieces.push(...buffer.subarray(0, read));
    }
  } catch {
    // a reset is a way of hanging up
  }
  return new Uint8Array(pieces);
}

Deno.test("whoever is not trusted gets nowhere, and those who are do not notice", async (t) => {
  await using peers = await runningPair();
  const { a, b } = peers;
  await assertBothServed(peers);
  const stranger = await makeIdentity("bert"); // the trusted peer's name, but not its key

  await t.step("a stranger's certificate", async () => {
    const outcome = await tryOperation(a.port, a.certificate, stranger);
    assert.equal(outcome.served, false, outcome.why);
    assert.equal(await exists(`${a.synced}/stolen`), false);
    await assertBothServed(peers);
  });

  await t.step("no certificate", async () => {
    const outcome = await tryOperation(a.port, a.certificate, null);
    assert.equal(outcome.served, false, outcome.why);
    assert.equal(await exists(`${a.synced}/stolen`), false);
    await assertBothServed(peers);
  });

  const friend = await makeIdentity("friend");
  await Deno.writeTextFile(`${peers.world.folder}/friend.pem`, friend.certificate);
  await a.trust(`${peers.world.folder}/friend.pem`, { name: "friend" });
  const asFriend = () => PlainClient.connect({ port: a.port, server: a.certificate, identity: friend });

  await t.step("TLS 1.2, even with a trusted certificate", async () => {
    await eventually("the friend is served by TLS 1.3", async () => {
      await using client = await asFriend();
      await client.stillServes("friendly");
    });
    await assert.rejects(async () => {
      await using client = await PlainClient.connect({
        port: a.port,
        server: a.certificate,
        identity: friend,
        maxVersion: "TLSv1.2",
      });
      await client.stillServes("stolen");
    });
    assert.equal(await exists(`${a.synced}/stolen`), false);
    await assertBothServed(peers);
  });

  await t.step("a peer that was removed while it was connected", async () => {
    await using client = await asFriend();
    await client.stillServes("friendly 2");
    await a.ok("peer", "remove", "friend");
    // A running run obeys within a second: until then it may still serve.
    await eventually("the removed peer is cut off", async () => {
      const outcome = await tryOperation(a.port, a.certificate, friend);
      assert.equal(outcome.served, false, outcome.why);
    });
    await eventually("the old connection is, too", async () => {
      await client.send(frame(operation("create", "friendly 3", "x"), encoder.encode("x"))).catch(() => {});
      assert.notEqual((await client.reply())?.status, "ok");
    });
    await assertBothServed(peers);
  });

  await t.step("garbage over plain TCP", async () => {
    const random = new Uint8Array(60_000);
    crypto.getRandomValues(random);
    for (
      const garbage of [
        random,
        encoder.encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        new Uint8Array(10_000),
        frame(operation("create", "stolen", "x"), encoder.encode("x")),
        new Uint8Array([22, 3, 1, 255, 255, 1, 0, 255, 251, 3, 3]),
      ]
    ) {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port: a.port });
      try {
        for (let at = 0; at < garbage.length;) at += await connection.write(garbage.subarray(at));
        await connection.closeWrite();
      } catch {
        // it hung up first
      }
      const answer = await readToEnd(connection);
      assert.ok(answer.length < 100, "at most a TLS alert comes back");
    }
    await assertBothServed(peers);
  });

  await t.step("connections that say nothing, many of them", async () => {
    const silent: Deno.Conn[] = [];
    try {
      for (let i = 0; i < 100; i++) silent.push(await Deno.connect({ hostname: "127.0.0.1", port: a.port }));
      await assertBothServed(peers);
      await Promise.all([b.stop()]);
      await put(`${a.watched}/while the strangers hold on`, "x");
      await b.start();
      await assertFile(`${b.synced}/while the strangers hold on`, "x");
      await assertBothServed(peers);
    } finally {
      for (const connection of silent) connection.close();
    }
  });

  await t.step("in the end both mirrors are exact", async () => {
    await assertMirrored(a.watched, b.synced);
    await eventually("Bert's mirror at Anna's", async () => {
      const paths = [...(await snapshot(a.synced)).keys()].filter((path) =>
        !/^(?:friendly|stolen)/.test(path)
      );
      assert.deepEqual(paths.sort(), [...(await snapshot(b.watched)).keys()].sort());
    });
  });
});

/** Tries to have an operation done; whether a reply came. */
async function tryOperation(
  port: number,
  server: string,
  identity: Awaited<ReturnType<typeof makeIdentity>> | null,
): Promise<{ readonly served: boolean; readonly why: string }> {
  try {
    await using client = await PlainClient.connect({ port, server, identity });
    await client.send(frame(operation("create", "stolen", "stolen"), encoder.encode("stolen"))).catch(
      () => {},
    );
    const reply = await client.reply();
    return { served: reply !== null, why: JSON.stringify(reply) };
  } catch (error) {
    return { served: false, why: String(error) };
  }
}

Deno.test("a trusted link that stalls in the middle of a frame holds up nobody else", async () => {
  await using peers = await runningPair();
  const { a } = peers;
  const friend = await makeIdentity("friend");
  await Deno.writeTextFile(`${peers.world.folder}/friend.pem`, friend.certificate);
  await a.trust(`${peers.world.folder}/friend.pem`, { name: "friend" });
  const connect = () => PlainClient.connect({ port: a.port, server: a.certificate, identity: friend });
  await eventually("the friend is served", async () => {
    await using client = await connect();
    await client.stillServes("friendly");
  });
  const content = new Uint8Array(500_000).fill(1);
  const bytes = frame(operation("update", "friendly", content), content);
  await using inLength = await connect();
  await inLength.send(bytes.subarray(0, 3));
  await using inHeader = await connect();
  await inHeader.send(bytes.subarray(0, 50));
  await using inContent = await connect();
  await inContent.send(bytes.subarray(0, 300_000));
  await assertBothServed(peers);
  await using other = await connect();
  await other.stillServes("friendly 2");
  assert.equal(await Deno.readTextFile(`${a.synced}/friendly`), "honest friendly");
  // A stall is no error for as long as the link lives: the rest of the frame completes it.
  await using late = await connect();
  await late.send(bytes.subarray(0, 400_000));
  await assertBothServed(peers);
  await late.send(bytes.subarray(400_000));
  assert.equal((await late.reply())?.status, "ok");
  assert.equal((await Deno.stat(`${a.synced}/friendly`)).size, content.length);
  await assertBothServed(peers);
});

Deno.test("a server with another key at the peer's address is told nothing", async () => {
  await using world = await World.create();
  const anna = await world.peer("anna");
  const real = await makeIdentity("bert");
  const impostor = await makeIdentity("bert");
  const port = freePort();
  await Deno.writeTextFile(`${world.folder}/bert.pem`, real.certificate);
  await anna.trust(`${world.folder}/bert.pem`, { name: "bert", address: `127.0.0.1:${port}` });
  await put(`${anna.watched}/secret`, "secret");
  {
    await using server = await PlainServer.listen(port, { identity: impostor, trusts: [anna.certificate] });
    const running = await anna.start();
    await eventually("it was tried, and the user can see why it failed", async () => {
      const status = await anna.ok("status");
      const told = running.stdout + running.stderr + status.stdout;
      assert.match(told, /certificate|fingerprint|trust/i);
    });
    assert.deepEqual(server.operations, []);
    assert.deepEqual(server.unknown, [], "not even a hello");
  }
  await using server = await PlainServer.listen(port, { identity: real, trusts: [anna.certificate] });
  await eventually("the real one is sent to", () => assert.equal(server.text("secret"), "secret"), {
    deadlineMs: 60_000,
  });
});
