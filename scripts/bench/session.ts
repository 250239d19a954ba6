import { join } from "node:path";
import { median, showMs } from "../support/text.ts";
import { until } from "../support/until.ts";
import type { MakePair, Pair } from "./pair.ts";
import { peakMemory } from "./process_stats.ts";
import type { Row } from "./report.ts";
import { flushDisks, Rsync } from "./rsync.ts";
import { arrivalOf, countWrong, SET, type Workload } from "./workload.ts";

/** What is measured beside rsync. */
export type PairName = "MirrorSync" | "Syncthing";

/** What one workload took through fresh pairs of one program. */
export interface PairResult {
  /** The median, in milliseconds. */
  readonly took: number;
  readonly all: readonly number[];
  /** The highest of all runs, in bytes. */
  readonly peak: { readonly sender: number | null; readonly receiver: number | null };
}

export type PairResults = Partial<Record<PairName, PairResult>>;

/** What one workload took by rsync, in milliseconds. */
export interface RsyncResult {
  /** The median of all. */
  readonly took: number;
  readonly all: readonly number[];
  /** Once with `--fsync`, where this rsync knows it. */
  readonly flushed: number | null;
}

/** Where the workload is when the clock starts: moved into the watched folder then, or there before the sender runs. */
export type Start = "moved in" | "before start";

/** One run of the bench: its folder, its settings, what runs at present and what was found so far. */
export class Session {
  readonly rows: Row[] = [];
  /** What could not be measured, or was wrong, and why. */
  readonly problems: string[] = [];
  readonly #running = new Set<{ stop(): Promise<void> }>();
  #folders = 0;

  constructor(
    readonly folder: string,
    readonly runs: number,
    readonly useRsync: boolean,
    readonly makers: readonly (readonly [name: PairName, make: MakePair])[],
  ) {}

  /** Progress goes to stderr, results to stdout. */
  say(text: string): void {
    console.error(`· ${text}`);
  }

  /** What cannot be measured is said in the report; the rest goes on. */
  async attempt<T>(what: string, measure: () => Promise<T>): Promise<T | null> {
    try {
      return await measure();
    } catch (error) {
      this.problems.push(`${what}: ${error instanceof Error ? error.message : error}`);
      this.say(this.problems.at(-1)!);
      return null;
    }
  }

  /** The time of `rsync -a`; `null` without rsync. */
  async measureRsync(workload: Workload): Promise<RsyncResult | null> {
    if (!this.useRsync) return null;
    return await this.attempt("rsync", async () => {
      const folder = join(this.folder, `rsync-${++this.#folders}`);
      const rsync = await Rsync.start(folder);
      this.#running.add(rsync);
      try {
        const took: number[] = [];
        for (let i = 0; i < this.runs; i++) {
          took.push(await rsync.push(workload.prepared));
          this.say(`rsync, ${workload.title}: ${showMs(took.at(-1)!)}`);
        }
        const flushed = await rsync.push(workload.prepared, "--fsync").catch(() => null);
        if (flushed !== null) this.say(`rsync --fsync, ${workload.title}: ${showMs(flushed)}`);
        return { took: median(took), all: took, flushed };
      } finally {
        await rsync.stop();
        this.#running.delete(rsync);
        discard(folder, workload);
      }
    });
  }

  /** The times of one workload through fresh pairs of every program. */
  async measurePairs(workload: Workload, start: Start): Promise<PairResults> {
    const results: PairResults = {};
    for (const [name, make] of this.makers) {
      const all: number[] = [];
      const peaks: PairResult["peak"][] = [];
      for (let i = 0; i < this.runs; i++) {
        const took = await this.attempt(
          `${name}, ${workload.title}, ${start}`,
          () =>
            this.withWorkload(make, workload, start, (pair, took) => {
              const { sender, receiver } = pair.pids();
              peaks.push({ sender: peakMemory(sender), receiver: peakMemory(receiver) });
              return Promise.resolve(took);
            }),
        );
        if (took === null) break;
        all.push(took);
        this.say(`${name}, ${workload.title}, ${start}: ${showMs(took)}`);
      }
      if (all.length === 0) continue;
      const highest = (side: "sender" | "receiver") =>
        peaks.reduce<number | null>(
          (top, peak) => peak[side] === null ? top : Math.max(top ?? 0, peak[side]),
          null,
        );
      results[name] = {
        took: median(all),
        all,
        peak: { sender: highest("sender"), receiver: highest("receiver") },
      };
    }
    return results;
  }

  /**
   * Mirrors a workload once through a fresh pair and hands that pair on as it stands, with the milliseconds from the start
   * of the clock until all of it was on the other disk. Afterwards the workload is back in its place.
   */
  async withWorkload<T>(
    make: MakePair,
    workload: Workload,
    start: Start,
    use: (pair: Pair, took: number) => Promise<T>,
  ): Promise<T> {
    const folder = join(this.folder, `pair-${++this.#folders}`);
    const pair = await make(folder);
    const source = join(workload.prepared, SET);
    const inPlace = join(pair.watched, SET);
    this.#running.add(pair);
    let moved = false;
    const move = () => {
      Deno.renameSync(source, inPlace);
      moved = true;
    };
    try {
      await pair.startReceiver();
      if (start === "moved in") {
        await pair.startSender();
        await pair.linked();
      } else {
        move();
      }
      await flushDisks();
      const since = performance.now();
      if (start === "moved in") move();
      else await pair.startSender();
      const arrived = this.#untilArrived(pair, workload, since);
      const [took] = await Promise.all([arrived, start === "moved in" ? pair.nudge() : null]);
      await this.#verify(pair, workload);
      return await use(pair, took);
    } finally {
      await pair.stop();
      this.#running.delete(pair);
      if (moved) Deno.renameSync(inPlace, source);
      discard(folder, workload);
    }
  }

  #untilArrived(pair: Pair, workload: Workload, since: number): Promise<number> {
    const options = { everyMs: 5, deadlineMs: 600_000, check: () => pair.checkAlive() };
    return until(`${workload.title} through ${pair.name}`, arrivalOf(workload, pair.synced), options, since);
  }

  async #verify(pair: Pair, workload: Workload): Promise<void> {
    const wrong = countWrong(workload, pair.watched, pair.synced);
    if (wrong > 0) {
      this.problems.push(`${pair.name}, ${workload.title}: ${wrong} files missing or with other content`);
    }
    if (await pair.settled() === false) {
      this.problems.push(
        `${pair.name}, ${workload.title}: still something pending after everything was there`,
      );
    }
  }

  /** Stops whatever still runs and removes the folder. */
  async tidyUp(): Promise<void> {
    await Promise.allSettled([...this.#running].map((each) => each.stop()));
    this.#running.clear();
    try {
      Deno.removeSync(this.folder, { recursive: true });
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) {
        console.error(`could not remove ${this.folder}: ${error}`);
      }
    }
  }
}

/**
 * Removes what a measurement has made, unless it is many files: those stay until the end, because on some file systems (ext4 without a
 * journal) creating files is several times slower for minutes after many were deleted, whatever program creates them.
 */
function discard(folder: string, workload: Workload): void {
  const few = [...workload.folders.values()].every((names) => names.size < 10) && workload.folders.size < 10;
  if (few) Deno.removeSync(folder, { recursive: true });
}
