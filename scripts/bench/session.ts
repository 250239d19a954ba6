import { join } from "node:path";
import { median, showMs } from "../support/text.ts";
import { until } from "../support/until.ts";
import { commandMirror } from "./command_mirror.ts";
import { type MakeCommandTool, timeFirst } from "./command_tool.ts";
import { flushDisks } from "./flush_disks.ts";
import { liveMirror } from "./live_mirror.ts";
import type { Mirror } from "./mirror.ts";
import type { MakePair, Pair } from "./pair.ts";
import { peakMemory } from "./process_stats.ts";
import type { CommandName, PairName, Row, ToolName } from "./report.ts";
import type { Wire } from "./wire.ts";
import { arrivalOf, countWrong, SET, type Workload } from "./workload.ts";

/** What is there to be measured. */
export interface Tools {
  readonly pairs: ReadonlyMap<PairName, MakePair>;
  readonly commands: ReadonlyMap<CommandName, MakeCommandTool>;
}

/** What one workload took through fresh pairs of one program. */
export interface PairResult {
  /** The median, in milliseconds. */
  readonly took: number;
  readonly all: readonly number[];
  /** The highest of all runs, in bytes. */
  readonly peak: { readonly sender: number | null; readonly receiver: number | null };
}

export type PairResults = Partial<Record<PairName, PairResult>>;

/** What one workload took by a tool that is called, in milliseconds. */
export interface CommandResult {
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
    readonly tools: Tools,
  ) {}

  /** Progress goes to stderr, results to stdout. */
  say(text: string): void {
    console.error(`· ${text}`);
  }

  /** Says what is wrong, now and in the report. */
  problem(text: string): void {
    this.problems.push(text);
    this.say(text);
  }

  /** All that is there to be measured. */
  toolNames(): ToolName[] {
    return [...this.tools.pairs.keys(), ...this.tools.commands.keys()];
  }

  /** What cannot be measured is said in the report; the rest goes on. */
  async attempt<T>(what: string, measure: () => Promise<T>): Promise<T | null> {
    try {
      return await measure();
    } catch (error) {
      this.problem(`${what}: ${error instanceof Error ? error.message : error}`);
      return null;
    }
  }

  /** The time of `rsync -a`, or of Unison's first run; `null` when it is not there. */
  async measureCommand(name: CommandName, workload: Workload): Promise<CommandResult | null> {
    const make = this.tools.commands.get(name);
    if (make === undefined) return null;
    return await this.attempt(`${name}, ${workload.title}`, async () => {
      const folder = this.#newFolder(name);
      const tool = await make(folder, null);
      this.#running.add(tool);
      try {
        await tool.startServer();
        const took: number[] = [];
        for (let i = 0; i < this.runs; i++) {
          took.push(await timeFirst(tool, workload.prepared, `${i}`));
          this.say(`${name}, ${workload.title}: ${showMs(took.at(-1)!)}`);
        }
        let flushed = null;
        if (name === "rsync") {
          flushed = await timeFirst(tool, workload.prepared, "flushed", "--fsync").catch(() => null);
        }
        if (flushed !== null) this.say(`rsync --fsync, ${workload.title}: ${showMs(flushed)}`);
        return { took: median(took), all: took, flushed };
      } finally {
        await tool.stop();
        this.#running.delete(tool);
        discard(folder, workload);
      }
    });
  }

  /** The times of one workload through fresh pairs of every program. */
  async measurePairs(workload: Workload, start: Start): Promise<PairResults> {
    const results: PairResults = {};
    for (const [name, make] of this.tools.pairs) {
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
    const folder = this.#newFolder(start === "moved in" ? "moved" : "before");
    const pair = await make(folder, null);
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
      this.problem(`${pair.name}, ${workload.title}: ${wrong} files missing or with other content`);
    }
    if (await pair.settled() === false) {
      this.problem(`${pair.name}, ${workload.title}: still something pending after everything was there`);
    }
  }

  /** Hands a fresh, running mirror of one tool to `use`, and removes everything of it afterwards. */
  async withMirror<T>(tool: ToolName, wire: Wire | null, use: (mirror: Mirror) => Promise<T>): Promise<T> {
    const folder = this.#newFolder("mirror");
    if (wire !== null) this.#running.add(wire);
    let mirror: Mirror | null = null;
    try {
      mirror = await this.#makeMirror(tool, folder, wire);
      this.#running.add(mirror);
      await mirror.start();
      return await use(mirror);
    } finally {
      for (const each of [mirror, wire]) {
        if (each === null) continue;
        await each.stop();
        this.#running.delete(each);
      }
      Deno.removeSync(folder, { recursive: true });
    }
  }

  async #makeMirror(tool: ToolName, folder: string, wire: Wire | null): Promise<Mirror> {
    if (tool === "MirrorSync" || tool === "Syncthing") {
      return liveMirror(await this.tools.pairs.get(tool)!(folder, wire));
    }
    return commandMirror(tool, await this.tools.commands.get(tool)!(folder, wire), folder);
  }

  /** The name is short: it becomes part of every path below. */
  #newFolder(name: string): string {
    const folder = join(this.folder, `${name}-${++this.#folders}`);
    Deno.mkdirSync(folder);
    return folder;
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
