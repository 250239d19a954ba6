import assert from "node:assert/strict";
import { eventually, pause } from "../../helpers/eventually.ts";
import { isObject } from "../../helpers/json.ts";
import { mirrorOf, snapshot } from "../../helpers/tree.ts";
import { Prng } from "../../simulation/prng.ts";
import { assertSettled } from "./settled.ts";
import {
  assertSaysWhy,
  changeBoth,
  type SpoiltPair,
  spoiltPair,
  statusOfOther,
  timesSaid,
} from "./spoilt_pair.ts";
import { Users } from "./users.ts";

const SILENT = /has been silent for 15 s/;
/** What the issue calls the keep-alive: a link on which nothing comes is given up within it. */
const KEEP_ALIVE_MS = 20_000;
const CUTS = 4;

/** Cases on pairs of their own, at the same time: most of it is waiting. */
async function eachOnItsOwnPair(cases: Record<string, (pair: SpoiltPair) => Promise<void>>): Promise<void> {
  const play = async ([name, body]: [string, (pair: SpoiltPair) => Promise<void>]) => {
    await using pair = await spoiltPair();
    try {
      await body(pair);
    } catch (error) {
      const words = [pair.a, pair.b].map(({ name, running }) =>
        `--- ${name}\n${running?.stderr.slice(-2000)}`
      );
      throw new Error(`${name}: ${error instanceof Error ? error.message : error}\n${words.join("\n")}`, {
        cause: error,
      });
    }
  };
  const outcomes = await Promise.allSettled(Object.entries(cases).map(play));
  const failures = outcomes.flatMap((outcome) =>
    outcome.status === "rejected" ? [outcome.reason as Error] : []
  );
  if (failures.length > 0) {
    throw new AggregateError(
      failures,
      failures.map(({ message }) => message).join("\n\n"),
    );
  }
}

/** A line that passes nothing on in some directions, and tells nobody, until the link is given up. */
function stall(ways: readonly ("there" | "back")[]) {
  return async (pair: SpoiltPair) => {
    const { a, b, proxy } = pair;
    proxy.behave({ stalled: ways });
    await changeBoth(pair, `stalled ${ways}`, 2_000_000);
    await eventually("somebody says that the other has been silent", () => {
      assert.ok(timesSaid(a, SILENT) + timesSaid(b, SILENT) > 0);
    }, { deadlineMs: 60_000 });
    await Promise.all([assertSaysWhy(a), assertSaysWhy(b)]);
    proxy.behave({});
    await assertSettled(pair);
    assert.ok(proxy.connections > 1, "the link is another one");
  };
}

Deno.test("a line that falls silent, and a peer that is stopped: it is told, and all arrives afterwards", async () => {
  await eachOnItsOwnPair({
    "silent both ways": stall(["there", "back"]),
    "silent to the one who listens": stall(["there"]),
    "silent to the one who dials": stall(["back"]),
    "SIGSTOP for longer than the keep-alive": async (pair) => {
      const { a, b, proxy } = pair;
      const stopped = performance.now();
      b.running!.signal("SIGSTOP");
      await changeBoth(pair, "stopped", 2_000_000);
      await eventually("Anna says that Bert has been silent", () => assert.ok(timesSaid(a, SILENT) > 0), {
        deadlineMs: 60_000,
      });
      await assertSaysWhy(a);
      await pause(KEEP_ALIVE_MS - (performance.now() - stopped));
      const before = proxy.connections;
      b.running!.signal("SIGCONT");
      await assertSettled(pair);
      assert.ok(proxy.connections >= before && timesSaid(a, /link_up/) >= 2, "the link was made again");
    },
  });
});

Deno.test("a line that cuts, also inside frames; one that is slow; one that brings a byte at a time", async () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  await eachOnItsOwnPair({
    [`cut ${CUTS} times, seed ${seed}`]: async (pair) => {
      const { a, b, proxy } = pair;
      const random = new Prng(seed);
      // Somewhere after the handshake and the hello, which take some 5 KB: what is cut is mostly an operation.
      proxy.cutAfter(() => ({ way: random.pick(["there", "back"]), bytes: random.int(3_000, 300_000) }));
      proxy.cut();
      await changeBoth(pair, `cut ${seed}`, 4_000_000);
      await using users = new Users([a, b], { seed, most: { files: 100, bytes: 20_000_000 }, everyMs: 30 });
      users.work();
      await eventually("the line has cut often enough", () => assert.ok(proxy.cuts >= CUTS), {
        deadlineMs: 90_000,
      });
      proxy.behave({ closed: true });
      proxy.cut();
      await Promise.all([assertSaysWhy(a), assertSaysWhy(b)]);
      proxy.behave({});
      proxy.cutAfter(() => null);
      await users.rest();
      await assertSettled(pair);
      assert.ok(timesSaid(a, /link_down/) >= 2 && timesSaid(b, /link_down/) >= 2, "both have told of it");
    },
    "300 KB a second": async (pair) => {
      const { a, b, proxy } = pair;
      // While both start, a dial may come before the other knows whom it trusts.
      const dialled = proxy.connections;
      const lost = timesSaid(a, /link_down/) + timesSaid(b, /link_down/);
      proxy.behave({ bytesPerSecond: 300_000 });
      await changeBoth(pair, "slow", 1_000_000);
      await eventually("status tells of the file on its way", async () => {
        const value: unknown = JSON.parse((await a.ok("status", "--json")).stdout);
        assert.ok(isObject(value) && Array.isArray(value.transfers));
        assert.ok(value.transfers.some((each) => isObject(each) && each.path === "large"));
      });
      await assertSettled(pair);
      assert.equal(proxy.connections, dialled, "the link lasted");
      assert.equal(timesSaid(a, /link_down/) + timesSaid(b, /link_down/), lost);
      assert.equal((await statusOfOther(a)).link, "up");
    },
    "byte by byte": async (pair) => {
      const { a, b, proxy } = pair;
      proxy.behave({ atOnce: 1 });
      proxy.cut(); // so that the handshake comes so, too
      const dialled = proxy.connections;
      const passed = proxy.bytes;
      await changeBoth(pair, "bytes", 5_000);
      await assertSettled(pair);
      assert.ok(proxy.bytes - passed > 10_000, "all of it went through the proxy");
      assert.ok(proxy.connections <= dialled + 1, "the second link lasted");
      assert.deepEqual(mirrorOf(await snapshot(a.watched)), await snapshot(b.synced));
    },
  });
});
