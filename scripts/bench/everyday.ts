import { join } from "node:path";
import { median, quantile, showMs } from "../support/text.ts";
import { sleep, until } from "../support/until.ts";
import type { Pair } from "./pair.ts";
import { cpuTime } from "./process_stats.ts";
import { readOrNull } from "./read_or_null.ts";
import type { PairName, Row } from "./report.ts";
import type { Session } from "./session.ts";
import type { Workload } from "./workload.ts";

/** How much of the everyday is looked at. */
export interface EverydayOptions {
  readonly parts: ReadonlySet<string>;
  /** Saves through MirrorSync. */
  readonly saves: number;
  readonly idleMs: number;
}

/** Saves through Syncthing, whose watcher alone waits a second. */
const SYNCTHING_SAVES = 10;
/** What was written last is looked at once more by MirrorSync after 2 s; that is not idling yet. */
const SETTLE_MS = 5000;
/** After work the runtime collects what is left of it, which takes it some seconds to decide on. */
const REST_MS = 30_000;

/** Parts c and e: how long a save takes, and what idling costs, both with many files in place. */
export async function benchEveryday(
  session: Session,
  workload: Workload,
  options: EverydayOptions,
): Promise<void> {
  const saves: Partial<Record<PairName, Saves>> = {};
  const idle: Partial<Record<PairName, Idle>> = {};
  for (const [name, make] of session.tools.pairs) {
    await session.attempt(
      `${name}, saves and idling`,
      () =>
        session.withWorkload(make, workload, "moved in", async (pair) => {
          if (options.parts.has("c")) {
            const measured = await measureSaves(
              pair,
              name === "MirrorSync" ? options.saves : SYNCTHING_SAVES,
            );
            saves[name] = measured;
            session.say(`${name}, ${measured.all.length} saves: median ${showMs(median(measured.all))}`);
          }
          if (options.parts.has("e")) {
            await sleep(REST_MS);
            session.say(`${name}: idling`);
            idle[name] = await measureIdle(pair, options.idleMs);
          }
        }),
    );
  }
  if (options.parts.has("c")) session.rows.push(...saveRows(saves));
  if (options.parts.has("e")) session.rows.push(...idleRows(idle, workload, options.idleMs));
}

interface Saves {
  readonly all: readonly number[];
  readonly plain: readonly number[];
  readonly renamed: readonly number[];
}

/** Saves small files as editors do, half by a plain write and half by write and rename, about 50 ms apart. */
async function measureSaves(pair: Pair, saves: number): Promise<Saves> {
  const plain: number[] = [];
  const renamed: number[] = [];
  const folder = join(pair.watched, "saves");
  Deno.mkdirSync(folder, { recursive: true });
  for (let i = 0; i < saves; i++) {
    const name = `note ${Math.floor(i / 2) % 10}.txt`;
    const text = `save ${i} `.padEnd(2048, "abcdefghijklmnopqrstuvwxyz\n");
    const since = performance.now();
    if (i % 2 === 0) {
      Deno.writeTextFileSync(join(folder, name), text);
    } else {
      Deno.writeTextFileSync(join(folder, `.${name}.tmp`), text);
      Deno.renameSync(join(folder, `.${name}.tmp`), join(folder, name));
    }
    const target = join(pair.synced, "saves", name);
    const took = await until(
      "a save",
      () => readOrNull(target) === text,
      { check: () => pair.checkAlive() },
      since,
    );
    (i % 2 === 0 ? plain : renamed).push(took);
    await sleep(Math.max(0, 50 - (performance.now() - since)));
  }
  return { all: [...plain, ...renamed], plain, renamed };
}

function saveRows({ MirrorSync: own, Syncthing: other }: Partial<Record<PairName, Saves>>): Row[] {
  const row = (
    what: string,
    of: (values: readonly number[]) => number,
    targetMs: number,
    note: string,
  ): Row => ({
    part: "c",
    what,
    unit: "ms",
    MirrorSync: own === undefined ? null : of(own.all),
    rsync: null,
    Syncthing: other === undefined ? null : of(other.all),
    Unison: null,
    target: `< ${targetMs} ms`,
    reached: own === undefined ? null : of(own.all) < targetMs,
    note,
  });
  const kinds = own === undefined
    ? ""
    : `plain write ${showMs(median(own.plain))}, write and rename ${showMs(median(own.renamed))}`;
  const slowest = own === undefined ? "" : `slowest of ${own.all.length} ${showMs(Math.max(...own.all))}`;
  return [
    row("a save of 2 KiB, median", median, 30, kinds),
    row("a save of 2 KiB, 99th percentile", (values) => quantile(values, 0.99), 150, slowest),
  ];
}

interface Idle {
  /** Percent of one core. */
  readonly sender: number | null;
  readonly receiver: number | null;
}

async function measureIdle(pair: Pair, forMs: number): Promise<Idle> {
  await sleep(SETTLE_MS);
  const { sender, receiver } = pair.pids();
  const since = performance.now();
  const before = [cpuTime(sender), cpuTime(receiver)] as const;
  await sleep(forMs);
  const passedMs = performance.now() - since;
  const share = (then: number | null, now: number | null) =>
    then === null || now === null ? null : (now - then) / passedMs * 100;
  return { sender: share(before[0], cpuTime(sender)), receiver: share(before[1], cpuTime(receiver)) };
}

function idleRows(idle: Partial<Record<PairName, Idle>>, workload: Workload, forMs: number): Row[] {
  return (["sender", "receiver"] as const).map((side) => {
    const own = idle.MirrorSync?.[side] ?? null;
    return {
      part: "e",
      what: `idle ${side}, share of one core`,
      unit: "%",
      MirrorSync: own,
      rsync: null,
      Syncthing: idle.Syncthing?.[side] ?? null,
      Unison: null,
      target: "< 0.5 %",
      reached: own === null ? null : own < 0.5,
      note: `over ${Math.round(forMs / 1000)} s, ${workload.title} in place`,
    };
  });
}
