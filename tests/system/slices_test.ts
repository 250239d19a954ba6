import assert from "node:assert/strict";
import { Slices } from "../../src/domain/slices.ts";
import { SystemClock } from "../../src/system/system_clock.ts";

const SLICES = 60;

Deno.test("slices: work in slices lets sockets be read in between", async () => {
  const clock = new SystemClock();
  const server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [near, far] = await Promise.all([Deno.connect({ port: server.addr.port }), server.accept()]);
  server.close();
  let trips = 0, over = false;
  const echo = async () => {
    const byte = new Uint8Array(1);
    while (await far.read(byte) !== null) await far.write(byte);
    far.close();
  };
  const ask = async () => {
    const byte = new Uint8Array(1);
    for (; !over; trips++) {
      await near.write(byte);
      await near.read(byte);
    }
    near.close();
  };
  const both = Promise.all([echo(), ask()]);
  const slices = new Slices(clock);
  for (let i = 0; i < SLICES; i++) {
    while (!slices.over);
    await slices.rest();
  }
  over = true;
  await both;
  assert.ok(trips >= SLICES / 4, `${trips} round trips in ${SLICES} slices`);
});
