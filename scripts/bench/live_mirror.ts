import { sleep, until } from "../support/until.ts";
import { flushDisks } from "./flush_disks.ts";
import type { Change, Mirror } from "./mirror.ts";
import type { Pair } from "./pair.ts";

const DEADLINE_MS = 600_000;
/** What was written last is looked at once more by MirrorSync after 2 s; nothing tells when that is over. */
const REST_MS = 5000;

/** A pair of programs that run all the time, as a mirror. */
export function liveMirror(pair: Pair): Mirror {
  const wait = (change: Change, done: () => boolean, since: number) =>
    until(
      `${change.what} through ${pair.name}`,
      done,
      { everyMs: 2, deadlineMs: DEADLINE_MS, check: () => pair.checkAlive() },
      since,
    );
  return {
    name: pair.name,
    live: true,
    watched: pair.watched,
    synced: pair.synced,
    start: async () => {
      await pair.startReceiver();
      await pair.startSender();
      await pair.linked();
    },
    bring: async (change) => {
      await flushDisks();
      const since = performance.now();
      change.make();
      const [took] = await Promise.all([wait(change, change.arrived, since), pair.nudge()]);
      return took;
    },
    bringCut: async (change, enough) => {
      change.make();
      const since = performance.now();
      await Promise.all([wait(change, () => enough() || change.arrived(), since), pair.nudge()]);
      if (change.arrived()) throw new Error("all had arrived before it could be cut");
      await pair.killReceiver();
      await pair.startReceiver();
      await wait(change, change.arrived, since);
    },
    settled: () => pair.settled(),
    rest: () => sleep(REST_MS),
    stop: () => pair.stop(),
  };
}
