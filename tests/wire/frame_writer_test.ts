import assert from "node:assert/strict";
import { FrameReader } from "../../src/wire/frame_reader.ts";
import { FrameWriter } from "../../src/wire/frame_writer.ts";
import type { Pace } from "../../src/wire/pace.ts";
import { join, sourceOf } from "./streams.ts";

/** A stream that keeps what is written; `gate` holds writes back until it is opened. */
class Sink {
  readonly writes: Uint8Array[] = [];
  gate: Promise<void> = Promise.resolve();
  failure: Error | null = null;

  readonly write = async (bytes: Uint8Array) => {
    await this.gate;
    if (this.failure !== null) throw this.failure;
    this.writes.push(bytes.slice());
  };

  async headers(): Promise<Array<{ n: number; content: number }>> {
    const reader = new FrameReader(sourceOf(join(this.writes)));
    const found = [];
    for (;;) {
      const head = await reader.head();
      if (head === null) return found;
      const { n } = JSON.parse(new TextDecoder().decode(head.headerBytes));
      await reader.skip();
      found.push({ n, content: head.contentBytes });
    }
  }
}

/** A pace in the hands of a test. */
class Gate implements Pace {
  readonly bytesPerSecond = 1000;
  readonly sliceBytes = 100;
  isOpen = false;
  taken = 0;
  readonly waiting = new Set<() => void>();

  wait(go: () => void): () => void {
    this.waiting.add(go);
    return () => this.waiting.delete(go);
  }

  took(bytes: number): void {
    this.taken += bytes;
  }

  /** Lets the next turn come; `false` when nobody waits. */
  async turn(): Promise<boolean> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    const [go] = this.waiting;
    if (go === undefined) return false;
    this.waiting.delete(go);
    go();
    await new Promise((resolve) => setTimeout(resolve, 0));
    return true;
  }
}

async function* hundredBytes() {
  await Promise.resolve();
  yield new Uint8Array(100);
}

const order = async (sink: Sink) => (await sink.headers()).map(({ n }) => n);

Deno.test("control goes before small, small before bulk, each first in, first out", async () => {
  const sink = new Sink();
  const writer = new FrameWriter(sink.write);
  const sent = [
    writer.send("bulk", { n: 5 }, new Uint8Array(10)),
    writer.send("bulk", { n: 6 }, new Uint8Array(10)),
    writer.send("small", { n: 3 }, new Uint8Array(10)),
    writer.send("small", { n: 4 }),
    writer.send("control", { n: 1 }),
    writer.send("control", { n: 2 }),
  ];
  await Promise.all(sent);
  assert.deepEqual(await order(sink), [1, 2, 3, 4, 5, 6]);
});

Deno.test("small frames that are queued together are written together", async () => {
  const sink = new Sink();
  const writer = new FrameWriter(sink.write);
  await Promise.all(Array.from({ length: 100 }, (_, n) => writer.send("small", { n }, new Uint8Array(100))));
  assert.equal(sink.writes.length, 1);
  assert.equal(writer.bytesWritten, sink.writes[0]!.length);
});

Deno.test("what is queued during a piece goes before the next piece", async () => {
  const sink = new Sink();
  const opened = Promise.withResolvers<void>();
  sink.gate = opened.promise;
  const writer = new FrameWriter(sink.write);
  const pieces = [1, 3, 4].map((n) => writer.send("bulk", { n }, new Uint8Array(1000)));
  await new Promise((resolve) => setTimeout(resolve, 0));
  const save = writer.send("small", { n: 2 });
  opened.resolve();
  await Promise.all([...pieces, save]);
  assert.deepEqual(await order(sink), [1, 2, 3, 4]);
});

Deno.test("a large content is written from the caller's buffer, behind its head", async () => {
  const sink = new Sink();
  const writer = new FrameWriter(sink.write);
  const large = new Uint8Array(100_000).fill(7);
  await Promise.all([writer.send("small", { n: 1 }), writer.send("small", { n: 2 }, large)]);
  assert.deepEqual(await sink.headers(), [{ n: 1, content: 0 }, { n: 2, content: 100_000 }]);
  assert.deepEqual(sink.writes.at(-1), large);
});

Deno.test("a streamed content goes out whole, with nothing in between", async () => {
  const sink = new Sink();
  const writer = new FrameWriter(sink.write);
  let save: Promise<void> | null = null;
  async function* source() {
    for (let i = 0; i < 4; i++) {
      await Promise.resolve();
      save ??= writer.send("control", { n: 2 });
      yield new Uint8Array(25).fill(i);
    }
  }
  await writer.stream({ n: 1 }, 100, source());
  await save;
  assert.deepEqual(await sink.headers(), [{ n: 1, content: 100 }, { n: 2, content: 0 }]);
  await writer.idle();
  assert.equal(writer.bytesWritten, join(sink.writes).length);
});

Deno.test("a streamed content of another length breaks the stream, for everything after it too", async () => {
  for (const length of [99, 101]) {
    const sink = new Sink();
    const writer = new FrameWriter(sink.write);
    const streamed = writer.stream({ n: 1 }, length, hundredBytes());
    const behind = writer.stream({ n: 2 }, 0, hundredBytes());
    const outcomes = await Promise.allSettled([streamed, behind]);
    assert.deepEqual(outcomes.map(({ status }) => status), ["rejected", "rejected"]);
    await assert.rejects(streamed, RangeError);
    await assert.rejects(writer.send("control", { n: 3 }), RangeError);
    // No more than was announced has gone out, or the reader would take it for a frame.
    assert(join(sink.writes).length <= 8 + '{"n":1}'.length + 8 + length);
  }
});

Deno.test("a failing stream fails what was being written, what waits and what comes", async () => {
  const sink = new Sink();
  sink.failure = new Error("gone");
  const writer = new FrameWriter(sink.write);
  const outcomes = await Promise.allSettled([
    writer.send("small", { n: 1 }),
    writer.send("bulk", { n: 2 }),
    writer.send("bulk", { n: 3 }),
  ]);
  assert(outcomes.every((o) => o.status === "rejected" && o.reason === sink.failure));
  await assert.rejects(writer.send("control", { n: 4 }), /gone/);
  await writer.idle();
});

Deno.test("break fails what waits, and idle resolves", async () => {
  const sink = new Sink();
  const opened = Promise.withResolvers<void>();
  sink.gate = opened.promise;
  const writer = new FrameWriter(sink.write);
  const first = writer.send("bulk", { n: 1 });
  const second = writer.send("bulk", { n: 2 });
  await new Promise((resolve) => setTimeout(resolve, 0));
  const broken = new Error("closed");
  writer.break(broken);
  await assert.rejects(second, broken);
  opened.resolve();
  await first;
  await writer.idle();
  await assert.rejects(writer.send("bulk", { n: 3 }), broken);
});

function paced(): { sink: Sink; gate: Gate; writer: FrameWriter } {
  const sink = new Sink();
  const gate = new Gate();
  const writer = new FrameWriter(sink.write);
  writer.pace = gate;
  return { sink, gate, writer };
}

Deno.test("with a pace: what is queued while a piece waits goes before it, and control waits for nobody", async () => {
  const { sink, gate, writer } = paced();
  const pieces = [5, 6].map((n) => writer.send("bulk", { n }, new Uint8Array(50)));
  await gate.turn();
  assert.deepEqual(await order(sink), [5]);
  const save = writer.send("small", { n: 2 }, new Uint8Array(50));
  await writer.send("control", { n: 1 });
  assert.deepEqual(await order(sink), [5, 1], "without a turn");
  assert.equal(gate.waiting.size, 1, "the others wait on");
  await gate.turn();
  await save;
  await gate.turn();
  await Promise.all(pieces);
  assert.deepEqual(await order(sink), [5, 1, 2, 6]);
  assert.equal(gate.taken, join(sink.writes).length, "control counts too");
  await writer.idle();
  assert.equal(gate.waiting.size, 0, "nobody waits with nothing to send");
});

Deno.test("with a pace: a long content and a stream go slice by slice, each in its turn", async () => {
  const { sink, gate, writer } = paced();
  async function* source() {
    await Promise.resolve();
    for (let i = 0; i < 5; i++) yield new Uint8Array(50).fill(i);
    yield new Uint8Array(250).fill(9);
  }
  const sent = [
    writer.send("bulk", { n: 1 }, new Uint8Array(1000)),
    writer.send("control", { n: 2 }, new Uint8Array(2000)),
    writer.stream({ n: 3 }, 500, source()),
  ];
  let turns = 0;
  while (await gate.turn()) turns++;
  await Promise.all(sent);
  assert.deepEqual(await sink.headers(), [
    { n: 2, content: 2000 },
    { n: 1, content: 1000 },
    { n: 3, content: 500 },
  ]);
  assert.ok(sink.writes.every(({ length }) => length <= 100));
  // The first write of the control frame is the only one that had none.
  assert.equal(turns, sink.writes.length - 1);
});

Deno.test("with a pace: breaking ends every wait, between frames and inside of one", async () => {
  for (const turns of [0, 1]) {
    const { sink, gate, writer } = paced();
    const sent = writer.send("bulk", { n: 1 }, new Uint8Array(1000));
    for (let i = 0; i < turns; i++) await gate.turn();
    await new Promise((resolve) => setTimeout(resolve, 0));
    const closed = new Error("closed");
    writer.break(closed);
    await assert.rejects(sent, closed);
    await writer.idle();
    assert.equal(gate.waiting.size, 0);
    assert.equal(sink.writes.length, turns);
  }
});
