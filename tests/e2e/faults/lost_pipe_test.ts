import assert from "node:assert/strict";
import { eventually, pause } from "../../helpers/eventually.ts";
import { runningPair } from "../../helpers/program.ts";
import { assertFile, makePipe, put } from "../../helpers/tree.ts";

Deno.test({
  name:
    "a named pipe that is gone before anybody could open it: it is told, changes still arrive, and the program ends",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using peers = await runningPair();
    const { a, b } = peers;
    await eventually("the watcher waits in a pipe that is gone", async () => {
      await makePipe(`${a.watched}/pipe`);
      await pause(100); // as long as somebody might have it
      await Deno.remove(`${a.watched}/pipe`);
      await put(`${a.watched}/probe`, crypto.randomUUID());
      // A watcher that hears of this takes it up within milliseconds.
      await pause(1_000);
      const probe = await Deno.readTextFile(`${a.watched}/probe`);
      assert.notEqual(await Deno.readTextFile(`${b.synced}/probe`).catch(() => ""), probe);
    });
    await eventually("it is told", async () => {
      const { problems } = JSON.parse((await a.ok("status", "--json")).stdout);
      const told = problems.filter((each: { code: string; message: string }) =>
        each.code === "watcher" && each.message.includes("named pipe")
      );
      assert.equal(told.length, 1);
    }, { deadlineMs: 30_000 });
    await put(`${a.watched}/after`, "after");
    await assertFile(`${b.synced}/after`, "after", { deadlineMs: 30_000 });
    await a.stop();
    await a.start();
    await put(`${a.watched}/at once again`, "again");
    await assertFile(`${b.synced}/at once again`, "again");
  },
});

Deno.test({
  name:
    "a file takes the name of a pipe from which the watcher was freed before: changes arrive, and the program ends",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using peers = await runningPair();
    const { a, b } = peers;
    // In about every other round the watcher is just waiting in the pipe again when that goes.
    for (let round = 0; round < 3; round++) {
      await makePipe(`${a.watched}/pipe`);
      await pause(4_000); // until it was freed, and waits there again now and then
      await Deno.remove(`${a.watched}/pipe`);
      await put(`${a.watched}/pipe`, `${round}`);
      await put(`${a.watched}/after`, `${round}`);
      await assertFile(`${b.synced}/after`, `${round}`, { deadlineMs: 30_000 });
      await assertFile(`${b.synced}/pipe`, `${round}`, { deadlineMs: 30_000 });
      await Deno.remove(`${a.watched}/pipe`);
    }
    await a.stop();
  },
});
