import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { isObject, type JsonObject } from "../helpers/json.ts";
import { freePort, mirrorsync, type Outcome, Peer, said, World } from "../helpers/program.ts";
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

  const inviting = world.spawn(["--home", anna.home, "invite"]);
  const line = await eventually("the line is there", () => {
    assert.match(inviting.stdout, /^MS1-[0-9A-Z]+\n$/);
    assert.match(inviting.stderr, /Waiting/);
    return inviting.stdout;
  }, { hopeless: inviting.hopeless });
  const [run, wrong] = await Promise.all([
    mirrorsync(anna.runArguments()),
    mirrorsync(["--home", bert.home, "join", line.slice(0, -20)]),
  ]);
  assertRefused(run, 5, /in use/);
  assertRefused(wrong, 2, /cut off/);
  const joined = await mirrorsync(["--home", bert.home, "join", "-", "--name", "The Other"], { stdin: line });
  assert.equal(joined.code, 0, said(joined));
  assert.match(joined.stdout, /The Other/);
  assert.equal(await inviting.ended(), 0, said(inviting));

  await Promise.all([anna.start(), bert.start()]);
  await put(`${anna.watched}/a`, "a");
  await put(`${bert.watched}/b`, "b");
  await assertFile(`${bert.synced}/a`, "a");
  await assertFile(`${anna.synced}/b`, "b");
});

Deno.test("an invite that nobody uses says so when it has expired", async () => {
  await using world = await World.create();
  const anna = await world.peer("anna");
  const unanswered = await anna.command("invite", "--expires", "1s");
  assert.equal(unanswered.code, 1, said(unanswered));
  assert.match(unanswered.stderr, /expired/);
  assert.match(unanswered.stdout, /^MS1-/);
});
