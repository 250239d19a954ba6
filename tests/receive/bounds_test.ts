import assert from "node:assert/strict";
import { eventually } from "../helpers/eventually.ts";
import { frame, operation } from "../helpers/plain_client.ts";
import { Link } from "../../src/link/link.ts";
import { SystemClock } from "../../src/system/system_clock.ts";
import { SystemRandom } from "../../src/system/system_random.ts";
import { ReceiveBench } from "./bench.ts";
import { connectionPair, FarEnd, helloOf, turns } from "./support.ts";

const MIB = 1024 * 1024;
/** What a bench's receiver grants, and what waits in its pipe and is being read. */
const WINDOW_BYTES = 8 * MIB;
const ON_THE_WAY_BYTES = 3 * MIB;

/** Sends frames one after the other without a look at the credit; `sentBytes` grows as they are taken in. */
function flood(from: FarEnd, frames: Iterable<[header: Parameters<FarEnd["send"]>[0], content: Uint8Array]>) {
  const state = { sentBytes: 0, done: Promise.resolve() };
  state.done = (async () => {
    for (const [header, content] of frames) {
      await from.send(header, content);
      state.sentBytes += content.length;
    }
  })();
  return state;
}

for (const extensions of [undefined, ["pieces"]] as const) {
  const name = extensions === undefined ? "with credit" : "without credit";
  const windowBytes = extensions === undefined ? WINDOW_BYTES : 16 * MIB;
  Deno.test(`bounds: a peer that sends more than it may is not read from (${name})`, async () => {
    await using bench = await ReceiveBench.open();
    const { promise: disk, resolve: goOn } = Promise.withResolvers<void>();
    bench.tree.before = ({ method }) => method === "write" ? disk : undefined;
    const anna = bench.link(bench.anna, extensions);
    const part = new Uint8Array(MIB).fill(7);
    const flooding = flood(
      anna,
      Array.from({ length: 40 }, (_, i) => [
        { id: "p", action: "piece", path: "big", size: 40 * MIB, offset: i * MIB },
        part,
      ]),
    );
    await eventually("the window is used up", () => assert.ok(flooding.sentBytes >= windowBytes));
    await turns(200);
    const most = windowBytes + ON_THE_WAY_BYTES;
    assert.ok(flooding.sentBytes <= most, `${flooding.sentBytes} bytes were taken in`);
    goOn();
    await flooding.done;
    const whole = new Uint8Array(40 * MIB).fill(7);
    await anna.accepted({ ...operation("create", "big", whole, { pieces: true }), id: "p" });
  });
}

Deno.test("bounds: one link has only so many large files under way, and the others are told", async () => {
  await using bench = await ReceiveBench.open();
  const anna = bench.link();
  const begin = (i: number) =>
    anna.request({ id: `${i}`, action: "piece", path: `f${i}`, size: 2, offset: 0 }, "x");
  const refused: unknown[] = [];
  for (let i = 0; i < 80; i++) begin(i).then(({ header }) => refused.push(header.code));
  await eventually("what is too much is refused", () => assert.equal(refused.length, 16));
  assert.deepEqual(new Set(refused), new Set(["not_accepting"]));
  await anna.send({ id: "0", action: "piece", path: "f0", size: 2, offset: 1 }, "x");
  await anna.accepted({ ...operation("create", "f0", "xx", { pieces: true }), id: "0" });
  await bench.cut(anna);
});

for (const full of [false, true]) {
  Deno.test(`bounds: a peer that does not read its replies is not read from (${full ? "full" : "plain"})`, async () => {
    const [far, near] = connectionPair("anna", "me");
    const link = new Link({
      connection: near,
      peer: { number: 1, name: "anna" },
      clock: new SystemClock(),
      random: new SystemRandom(),
    });
    if (full) link.becomeFull(helloOf("anna"), helloOf("me"));
    const content = new Uint8Array(MIB);
    const served = link.serve((l, header) => {
      l.reply({ status: "ok", id: header["id"] }, content);
      return Promise.resolve();
    });
    let asked = 0;
    const asking = (async () => {
      for (; asked < 300; asked++) {
        await far.write(frame({ id: `${asked}`, action: "ask", pad: "x".repeat(60_000) }));
      }
    })();
    await eventually("so many were asked", () => assert.ok(asked > (full ? 80 : 4)));
    await turns(200);
    const most = (full ? 80 : 4) + 25;
    assert.ok(asked <= most, `${asked} questions were taken in, each with a reply of 1 MiB`);
    const end = new FarEnd(far);
    await asking;
    assert.equal((await end.request({ id: "last", action: "ask" })).header.status, "ok");
    end.close();
    await served;
    link.close(new Error("done") as never);
  });
}
