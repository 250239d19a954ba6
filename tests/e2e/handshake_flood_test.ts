import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import tls from "node:tls";
import { MAX_HANDSHAKES } from "../../src/link/handshakes.ts";
import { PAIRING_PREFACE } from "../../src/wire/pairing.ts";
import { eventually } from "../helpers/eventually.ts";
import { makeIdentity, PlainClient } from "../helpers/plain_client.ts";
import { type Peer, World } from "../helpers/program.ts";

/** Connections that the strangers hold open at a time, far more than the peer does. */
const HELD = 400;
/** How often the trusted peer connects meanwhile. */
const VISITS = 10;
/** What the trusted peer may have to wait at most: on a quiet machine it is some 20 ms. */
const DEADLINE_MS = 5_000;
/** Conversations for pairing that are heard at once; each ends by itself after 10 s at most. */
const CONVERSATIONS = 8;
/** Open files of a run: those that it has anyway, the handshakes, the conversations for pairing, and some that are being closed. */
const MAX_OPEN_FILES = 64 + MAX_HANDSHAKES + CONVERSATIONS + 64;
const MAX_RESIDENT_BYTES = 400 * 1024 * 1024;

/** The first bytes that a TLS client sends: a whole ClientHello. */
async function clientHello(): Promise<Uint8Array> {
  return await new Promise((resolve) => {
    const socket = new Duplex({
      read() {},
      write(chunk: Uint8Array, _encoding, done) {
        resolve(new Uint8Array(chunk));
        done();
      },
    });
    tls.connect({ socket, rejectUnauthorized: false }).on("error", () => {});
  });
}

/** Keeps opening connections that say one of `beginnings` and no more, until it is stopped; the oldest are let go of. */
class Flood implements AsyncDisposable {
  opened = 0;
  readonly #held: Deno.Conn[] = [];
  #stopped = false;
  readonly #working: Promise<void>;

  constructor(port: number, beginnings: readonly Uint8Array[]) {
    this.#working = Promise.all(beginnings.map((bytes) => this.#open(port, bytes))).then(() => {});
  }

  async #open(port: number, bytes: Uint8Array): Promise<void> {
    while (!this.#stopped) {
      const conn = await Deno.connect({ hostname: "127.0.0.1", port });
      this.opened++;
      this.#held.push(conn);
      if (this.#held.length > HELD) this.#held.shift()?.close();
      // It may be cut off already.
      if (bytes.length > 0) await conn.write(bytes).catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#working;
    for (const conn of this.#held) conn.close();
  }
}

function openFiles({ running }: Peer): number {
  return [...Deno.readDirSync(`/proc/${running!.pid}/fd`)].length;
}

function residentBytes({ running }: Peer): number {
  const status = Deno.readTextFileSync(`/proc/${running!.pid}/status`);
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

Deno.test({
  name:
    "a flood of handshakes that never finish keeps no trusted peer out, and takes no more files and memory than it may",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    await using world = await World.create();
    const anna = await world.peer("anna");
    const friend = await makeIdentity("friend");
    await Deno.writeTextFile(`${world.folder}/friend.pem`, friend.certificate);
    await anna.trust(`${world.folder}/friend.pem`, { name: "friend" });
    await anna.start();
    // While an invite is open the first bytes are read before TLS, and those that want to pair are heard.
    await anna.ok("invite", "--no-wait");
    const hello = await clientHello();
    const before = openFiles(anna);
    let slowestMs = 0;
    let mostFiles = before;
    {
      await using flood = new Flood(anna.port, [
        new Uint8Array(),
        hello.subarray(0, 1),
        hello.subarray(0, hello.length / 2),
        hello,
        PAIRING_PREFACE,
        new Uint8Array([...PAIRING_PREFACE, ...hello.subarray(0, 60)]),
        new Uint8Array([...PAIRING_PREFACE, ...hello]),
        PAIRING_PREFACE.subarray(0, 3),
      ]);
      await eventually("the flood is under way", () => assert.ok(flood.opened > HELD));
      for (let visit = 0; visit < VISITS; visit++) {
        const startMs = performance.now();
        await eventually("the trusted peer gets in", async () => {
          await using client = await PlainClient.connect({
            ...{ port: anna.port, server: anna.certificate, identity: friend },
          });
          await client.stillServes(`visit ${visit}`);
        }, { deadlineMs: DEADLINE_MS, everyMs: 5 });
        slowestMs = Math.max(slowestMs, performance.now() - startMs);
        mostFiles = Math.max(mostFiles, openFiles(anna));
        assert.ok(mostFiles <= MAX_OPEN_FILES, `${mostFiles} files are open, ${before} before`);
      }
      const resident = residentBytes(anna);
      assert.ok(resident < MAX_RESIDENT_BYTES, `it holds ${resident} bytes of memory`);
      console.log(
        `${flood.opened} handshakes that never finish; the trusted peer was served after ${
          Math.round(slowestMs)
        } ms at most; ${mostFiles} files open at most (${before} before); ${resident >> 20} MiB`,
      );
    }
    await eventually("the handshakes are closed again", () => {
      assert.ok(openFiles(anna) <= before + CONVERSATIONS + 2);
    });
    await anna.stop();
  },
});
