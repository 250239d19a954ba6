import assert from "node:assert/strict";
import { eventually, pause } from "../helpers/eventually.ts";
import { isObject, type JsonObject } from "../helpers/json.ts";
import { freePort, mirrorsync, type Outcome, pair, Peer, said, World } from "../helpers/program.ts";
import { assertFile, put } from "../helpers/tree.ts";

/** What `invite --json` printed. */
function inviteIn(stdout: string): { readonly invite: string; readonly addresses: unknown } {
  const value: unknown = JSON.parse(stdout);
  assert.ok(isObject(value) && typeof value.invite === "string", stdout);
  assert.match(String(value.fingerprint), /^[0-9a-f]{64}$/);
  assert.ok(Date.parse(String(value.expires)) > Date.now());
  return { invite: value.invite, addresses: value.addresses };
}

async function list(peer: Peer): Promise<JsonObject[]> {
  const value: unknown = JSON.parse((await peer.ok("peer", "list", "--json")).stdout);
  assert.ok(Array.isArray(value));
  return value;
}

function assertRefused(outcome: Outcome, code: number, mentions: RegExp): void {
  assert.equal(outcome.code, code, said(outcome));
  assert.match(outcome.stderr, mentions);
  assert.equal(outcome.stdout, "");
}

Deno.test("pairing while both run: nothing is started again, and what is removed is cut off", async (t) => {
  await using world = await World.create();
  const [anna, bert] = await Promise.all([world.peer("anna"), world.peer("bert")]);
  await Promise.all([anna.start(), bert.start()]);
  let invite = "";

  await t.step("the invite carries the address that run listens on", async () => {
    const made = inviteIn((await anna.ok("invite", "--json")).stdout);
    assert.deepEqual(made.addresses, [anna.address]);
    invite = made.invite;
  });

  await t.step("join pairs both, and files go both ways", async () => {
    await bert.ok("join", invite);
    await Promise.all([
      put(`${anna.watched}/from anna`, "hello bert"),
      put(`${bert.watched}/from bert`, "hello anna"),
    ]);
    await assertFile(`${bert.synced}/from anna`, "hello bert");
    await assertFile(`${anna.synced}/from bert`, "hello anna");
  });

  await t.step("peer list says who is there", async () => {
    for (const [peer, other] of [[anna, bert], [bert, anna]] as const) {
      const [entry] = await eventually("connected", async () => {
        const listed = await list(peer);
        assert.equal(listed[0]?.state, "connected");
        return listed;
      });
      assert.equal(entry?.name, other.name);
      assert.equal(entry?.address, other.address);
      assert.notEqual(entry?.lastSeen, null);
    }
  });

  await t.step("the invite is worthless now", async () => {
    const [another, own] = await Promise.all([
      mirrorsync(["--home", `${world.folder}/another home`, "join", invite]),
      anna.command("join", invite),
    ]);
    assertRefused(another, 4, /used before/);
    assertRefused(own, 2, /made here/);
  });

  await t.step("a removed peer is cut off, and stays so", async () => {
    await anna.ok("peer", "remove", "bert");
    await eventually("bert is cut off", async () => {
      const [entry] = await list(bert);
      assert.equal(entry?.state, "not connected");
      assert.match(String(entry?.reason), /does not trust|closed|broke off/);
    }, { deadlineMs: 5_000 });
    await put(`${bert.watched}/too late`, "nobody wants this");
    await eventually("bert has dialled again, in vain", async () => {
      const [entry] = await list(bert);
      assert.match(String(entry?.reason), /does not trust|no peer|broke off/i);
    });
    assert.deepEqual(await anna.rows("too late", "log", "--limit", "100"), []);
    const audit = (await anna.ok("log", "--audit")).stdout;
    for (const word of ["invite_made", "peer_added", "peer_removed"]) assert.match(audit, new RegExp(word));
  });
});

Deno.test("pairing while nothing runs: invite listens itself, join reads the line from stdin on a fresh home", async () => {
  await using world = await World.create();
  const anna = await world.peer("anna");
  const bert = new Peer("bert", `${world.folder}/bert`, freePort());
  world.peers.push(bert);
  await Deno.mkdir(bert.watched, { recursive: true });
  await Deno.mkdir(bert.synced, { recursive: true });

  const inviting = world.spawn(
    ["--home", anna.home, "invite", "--address", "127.0.0.1:1", "--address", anna.address],
  );
  const line = await eventually("the line is there", () => {
    assert.match(inviting.stdout, /^MS1-[0-9A-Z]+\n$/);
    assert.match(inviting.stderr, /Waiting/);
    return inviting.stdout;
  }, { hopeless: inviting.hopeless });
  const joined = await mirrorsync(["--home", bert.home, "join", "-", "--name", "The Other"], { stdin: line });
  assert.equal(joined.code, 0, said(joined));
  assert.match(joined.stdout, /The Other/);
  assert.equal(await inviting.ended(), 0, said(inviting));
  const [known] = await list(bert);
  assert.deepEqual([known?.address, known?.otherAddresses], [anna.address, ["127.0.0.1:1"]]);

  await Promise.all([anna.start(), bert.start()]);
  await put(`${anna.watched}/a`, "a");
  await put(`${bert.watched}/b`, "b");
  await assertFile(`${bert.synced}/a`, "a");
  await assertFile(`${anna.synced}/b`, "b");
});

Deno.test("identity rotate: while both run, while one is away, and killed in between", async (t) => {
  await using both = await pair({ dials: "b" });
  const { a: anna, b: bert } = both;
  const fingerprint = async () => String((await anna.objects("identity"))[0]?.fingerprint);
  const assertKnown = (expected: string) =>
    eventually("bert trusts the new one and nothing else", async () => {
      const [row] = await bert.query("SELECT fingerprint, next_fingerprint FROM peers");
      assert.deepEqual({ ...row }, { fingerprint: expected, next_fingerprint: null });
    });

  await t.step("with nobody running it waits, and says for whom", async () => {
    const [made] = await anna.objects("identity", "rotate");
    assert.equal(made?.state, "waiting");
    assert.deepEqual(made.waitingFor, ["bert"]);
    assert.notEqual(await fingerprint(), made.fingerprint);
    await Promise.all([anna.start(), bert.start()]);
    await assertKnown(String(made.fingerprint));
    assert.equal(await fingerprint(), made.fingerprint);
  });

  await t.step("while both run it is done when the command ends", async () => {
    const [changed] = await anna.objects("identity", "rotate");
    assert.equal(changed?.state, "changed");
    await assertKnown(String(changed.fingerprint));
  });

  await t.step("killed at any point the pair finds itself again", async () => {
    for (const [killed, afterMs] of [[anna, 400], [bert, 500]] as const) {
      const rotating = anna.command("identity", "rotate");
      await pause(afterMs); // somewhere in the command's start and what the run does then
      await killed.kill();
      await Promise.all([killed.start(), rotating]);
    }
    await put(`${anna.watched}/after all that`, "anna");
    await put(`${bert.watched}/after all that`, "bert");
    await assertFile(`${bert.synced}/after all that`, "anna");
    await assertFile(`${anna.synced}/after all that`, "bert");
    await eventually("nothing is left to be changed", async () => {
      const [own] = await anna.objects("identity");
      assert.equal(own?.nextFingerprint, null);
      await assertKnown(String(own.fingerprint));
    });
  });
});
