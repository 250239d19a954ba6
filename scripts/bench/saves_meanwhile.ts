import { join } from "node:path";
import { median, showMs } from "../support/text.ts";
import { sleep, until } from "../support/until.ts";
import { arrivalOfTree } from "./arrival_of_tree.ts";
import { showMebibytes } from "./large_scenarios.ts";
import { writeRandomFile } from "./large_content.ts";
import type { Mirror } from "./mirror.ts";
import { readOrNull } from "./read_or_null.ts";
import type { PairName } from "./report.ts";
import { placesOf, verify } from "./scenario.ts";
import type { Session } from "./session.ts";
import { SET } from "./workload.ts";

const TARGET_MS = 100;
const SAVE_EVERY_MS = 50;

/** Part j: how long small saves take while a large file is on its way, for what runs all the time. */
export async function benchSavesMeanwhile(session: Session, mebibytes: number): Promise<void> {
  const saves: Partial<Record<PairName, readonly number[]>> = {};
  for (const name of session.tools.pairs.keys()) {
    const all = await session.attempt(
      `${name}, saves during a transfer`,
      () => session.withMirror(name, null, (mirror) => measureMeanwhile(session, mirror, mebibytes)),
    );
    if (all === null) continue;
    session.say(`${name}, ${all.length} saves during a transfer: worst ${showMs(Math.max(...all))}`);
    saves[name] = all;
  }
  const worst = (name: PairName) => saves[name] === undefined ? null : Math.max(...saves[name]);
  const own = worst("MirrorSync");
  session.rows.push({
    part: "j",
    what: `a save of 2 KiB during a transfer of ${showMebibytes(mebibytes)}, the worst`,
    unit: "ms",
    MirrorSync: own,
    rsync: null,
    Syncthing: worst("Syncthing"),
    Unison: null,
    target: `< ${TARGET_MS} ms`,
    reached: own === null ? null : own < TARGET_MS,
    note: Object.entries(saves).map(([name, all]) =>
      `${name} ${all.length} saves, median ${showMs(median(all))}`
    )
      .join(", "),
  });
}

/** Saves again and again, each when the one before has arrived, from when the file is moved in until it has arrived. */
async function measureMeanwhile(session: Session, mirror: Mirror, mebibytes: number): Promise<number[]> {
  const { set, copy, aside } = placesOf(mirror);
  const prepared = join(aside, SET);
  Deno.mkdirSync(prepared);
  writeRandomFile(join(prepared, "large.bin"), mebibytes * 2 ** 20);
  Deno.mkdirSync(join(mirror.watched, "saves"));
  await mirror.rest();
  let state: "before" | "under way" | "over" = "before";
  const transfer = mirror.bring({
    what: "the large file",
    make: () => {
      Deno.renameSync(prepared, set);
      state = "under way";
    },
    arrived: arrivalOfTree(prepared, copy),
  }).finally(() => state = "over");
  const all: number[] = [];
  const saving = async () => {
    await until("the transfer", () => state !== "before");
    for (let i = 0; state === "under way"; i++) {
      const since = performance.now();
      all.push(await save(mirror, i, since));
      await sleep(Math.max(0, SAVE_EVERY_MS - (performance.now() - since)));
    }
  };
  const ended = await Promise.allSettled([transfer, saving()]);
  for (const each of ended) if (each.status === "rejected") throw each.reason;
  if (all.length === 0) throw new Error("the transfer was over before anything was saved");
  await verify(session, mirror, "the large file");
  return all;
}

async function save(mirror: Mirror, index: number, since: number): Promise<number> {
  const name = join("saves", `note ${index % 10}.txt`);
  const text = `save ${index} `.padEnd(2048, "abcdefghijklmnopqrstuvwxyz\n");
  Deno.writeTextFileSync(join(mirror.watched, name), text);
  const target = join(mirror.synced, name);
  return await until("a save", () => readOrNull(target) === text, { deadlineMs: 120_000 }, since);
}
