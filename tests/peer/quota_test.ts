import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { assertFile, assertGone, exists, put } from "../helpers/tree.ts";
import { Pair } from "./pair.ts";

const KIB = 1024;

Deno.test("quota: the sender lists what found no room and why, and it goes on when room is made or the quota is raised", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  bert.settings = { ...bert.settings, quotaBytes: 700 * KIB };
  await put(`${anna.watched}/first`, "f".repeat(400 * KIB));
  await pair.start();
  await assertFile(`${bert.synced}/first`, "f".repeat(400 * KIB));
  await put(`${anna.watched}/large`, "l".repeat(600 * KIB));
  await put(`${anna.watched}/small`, "s".repeat(200 * KIB));
  await assertFile(`${bert.synced}/small`, "s".repeat(200 * KIB));
  const pending = () => anna.command((store) => store.pending.list(store.peers.list()[0]!.number));
  await eventually("what found no room is listed, with the reason", () => {
    const [row, ...others] = pending();
    assert.deepEqual([row?.path, row?.code, row?.state, others.length], [
      "large",
      "over_quota",
      "waiting",
      0,
    ]);
    assert.match(row?.reason ?? "", /quota there is 716,800 bytes, 614,400 are taken/);
  });
  const problems = (home: typeof anna) => home.running!.status().problems.map(({ code }) => code);
  assert.deepEqual([problems(anna), problems(bert)], [["peer_over_quota"], ["over_quota"]]);
  assert.equal(await exists(`${bert.synced}/large`), false);

  // Many attempts have failed: the next one by itself would be minutes away.
  anna.command((store) => {
    const { number } = store.peers.list()[0]!;
    store.pending.fail(number, "large" as never, "over_quota", "no room", Date.now() + 3_600_000);
  });
  await Deno.remove(`${anna.watched}/first`);
  await assertGone(`${bert.synced}/first`);
  await Deno.truncate(`${anna.watched}/small`, 10);
  await assertFile(`${bert.synced}/large`, "l".repeat(600 * KIB));

  await put(`${anna.watched}/more`, "m".repeat(300 * KIB));
  await eventually("it finds no room", () => assert.equal(pending()[0]?.code, "over_quota"));
  await pair.stop();
  bert.settings = { ...bert.settings, quotaBytes: 2000 * KIB };
  await pair.start();
  await assertFile(`${bert.synced}/more`, "m".repeat(300 * KIB));
  await eventually("nothing is left", () => assert.deepEqual(problems(anna), []));
  for (const home of [anna, bert]) home.assertQuiet();
});
