import { join } from "node:path";
import { countInJson } from "../support/count_in_json.ts";
import { MirrorPeer } from "../support/mirror_peer.ts";
import { lstatOrNull } from "../support/tree.ts";
import { sleep, until } from "../support/until.ts";
import type { Pair } from "./pair.ts";
import type { Wire } from "./wire.ts";

const PROBE = "linked.txt";

/** MirrorSync with MirrorSync; `program` is its command line. */
export async function makeMirrorSyncPair(
  folder: string,
  wire: Wire | null,
  program: readonly string[],
): Promise<Pair> {
  const sender = new MirrorPeer("sender", join(folder, "sender"), program);
  const receiver = new MirrorPeer("receiver", join(folder, "receiver"), program);
  await Promise.all([sender.init(), receiver.init()]);
  const address = async ({ port }: MirrorPeer) => `127.0.0.1:${await wire?.through(port) ?? port}`;
  await Promise.all([
    sender.trust(receiver, await address(receiver)),
    receiver.trust(sender, await address(sender)),
  ]);
  const checkAlive = () => {
    sender.checkAlive();
    receiver.checkAlive();
  };
  return {
    name: "MirrorSync",
    watched: sender.watched,
    synced: receiver.synced,
    checkAlive,
    pids: () => ({ sender: sender.pid!, receiver: receiver.pid! }),
    startReceiver: async () => {
      receiver.start();
      for (let attempt = 0; attempt < 50; attempt++) {
        receiver.checkAlive();
        const status: { running?: unknown } = JSON.parse(await receiver.command("status", "--json"));
        if (status.running === true) return await sleep(500); // what else it does at its start is not to be measured
        await sleep(100);
      }
      throw new Error("the receiver does not say that it runs");
    },
    killReceiver: () => receiver.kill(),
    startSender: () => Promise.resolve(sender.start()),
    linked: async () => {
      Deno.writeTextFileSync(join(sender.watched, PROBE), "linked\n");
      await until("the first file", () => lstatOrNull(join(receiver.synced, PROBE)) !== null, {
        check: checkAlive,
      });
    },
    nudge: () => Promise.resolve(),
    settled: async () => {
      for (let attempt = 0; attempt < 10; attempt++) {
        if (countInJson(await sender.command("pending", "--json")) === 0) return true;
        await sleep(300);
      }
      return false;
    },
    stop: async () => {
      await Promise.all([sender.stop(), receiver.stop()]);
    },
  };
}
