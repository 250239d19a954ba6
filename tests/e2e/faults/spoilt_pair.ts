import assert from "node:assert/strict";
import { eventually } from "../../helpers/eventually.ts";
import { isObject, type JsonObject } from "../../helpers/json.ts";
import { type Pair, type Peer, World } from "../../helpers/program.ts";
import { assertMirrored, put } from "../../helpers/tree.ts";
import { Prng } from "../../simulation/prng.ts";
import { TcpProxy } from "./tcp_proxy.ts";

/** Two peers that run and are linked by a line that can be spoilt: Anna dials Bert, there is no other way. */
export interface SpoiltPair extends Pair {
  readonly proxy: TcpProxy;
}

/** Makes two peers and starts both; what is in their folders already is equal when this returns. */
export async function spoiltPair(): Promise<SpoiltPair> {
  const world = await World.create();
  let proxy: TcpProxy | null = null;
  const dispose = async () => {
    await world[Symbol.asyncDispose]();
    await proxy?.[Symbol.asyncDispose]();
  };
  try {
    const [a, b] = await Promise.all([world.peer("anna", true), world.peer("bert", true)]);
    proxy = new TcpProxy(b.port);
    await Promise.all([
      a.trust(b.certificatePath, { name: "bert", address: proxy.address }),
      b.trust(a.certificatePath, { name: "anna" }),
    ]);
    const made = { world, a, b, proxy, [Symbol.asyncDispose]: dispose };
    for (const peer of [a, b]) {
      for (let i = 0; i < 5; i++) await put(`${peer.watched}/first/${i}`, `${peer.name} ${i}`);
    }
    await Promise.all([a.start(), b.start()]);
    for (const [from, to] of [[a, b], [b, a]] as const) await assertMirrored(from.watched, to.synced);
    return made;
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Work for both directions: a file that takes a while, some small ones, a change and a deletion. */
export async function changeBoth({ a, b }: Pair, seed: string, largeBytes: number): Promise<void> {
  const random = new Prng(seed);
  for (const { name, watched } of [a, b]) {
    await put(`${watched}/large`, random.bytes(largeBytes));
    for (let i = 0; i < 10; i++) await put(`${watched}/then/${i}`, `${name}'s ${i} of ${seed}`);
    await put(`${watched}/first/0`, `${name}'s second version, of ${seed}`);
    await Deno.remove(`${watched}/first/1`, { recursive: true }).catch(() => {});
  }
}

/** What `status --json` says of the other peer. */
export async function statusOfOther(peer: Peer): Promise<JsonObject> {
  const value: unknown = JSON.parse((await peer.ok("status", "--json")).stdout);
  assert.ok(isObject(value) && Array.isArray(value.peers));
  const [other] = value.peers as unknown[];
  assert.ok(isObject(other));
  return other;
}

/** Waits until `status` says that there is no link, and why, and that something waits. */
export async function assertSaysWhy(peer: Peer): Promise<void> {
  await eventually(`${peer.name} says that the link is down, and why`, async () => {
    const { link, reason, pending } = await statusOfOther(peer);
    assert.notEqual(link, "up");
    assert.ok(typeof reason === "string" && reason.length > 10, `reason: ${reason}`);
    assert.ok(isObject(pending) && Number(pending.waiting) > 0, JSON.stringify(pending));
  }, { everyMs: 500 });
}

/** How often it has said something, on stderr. */
export function timesSaid(peer: Peer, what: RegExp): number {
  return [...peer.running!.stderr.matchAll(new RegExp(what, "g"))].length;
}
