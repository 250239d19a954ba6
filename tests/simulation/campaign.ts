import { availableParallelism } from "node:os";
import type { Assignment, Played } from "./player.ts";

export interface CampaignOptions {
  readonly from: number;
  readonly seeds: number;
  /** Ends at the first violation. */
  readonly untilFirst?: boolean;
  readonly workers?: number;
  readonly onPlayed?: (played: Played) => void;
}

/** What came of many seeds. */
export interface Campaign {
  readonly played: number;
  readonly failed: readonly Played[];
  /** How often each kind of step happened. */
  readonly counts: ReadonlyMap<string, number>;
  readonly simulatedMs: number;
}

/** Plays many seeds, on as many cores as there are. */
export async function campaign(options: CampaignOptions): Promise<Campaign> {
  const { from, seeds, untilFirst = false, onPlayed = () => {} } = options;
  const stride = Math.max(1, Math.min(options.workers ?? availableParallelism(), seeds));
  const failed: Played[] = [];
  const counts = new Map<string, number>();
  let played = 0;
  let simulatedMs = 0;
  const workers: Worker[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      for (let i = 0; i < stride; i++) {
        const worker = new Worker(new URL("./player.ts", import.meta.url), { type: "module" });
        workers.push(worker);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(`a worker of the simulation failed: ${event.message}`));
        };
        worker.onmessage = ({ data }: MessageEvent<Played>) => {
          played++;
          simulatedMs += data.simulatedMs;
          for (const [kind, count] of data.counts) counts.set(kind, (counts.get(kind) ?? 0) + count);
          if (data.violation !== null) failed.push(data);
          onPlayed(data);
          if (played === seeds || (untilFirst && failed.length > 0)) resolve();
        };
        const assignment: Assignment = {
          from: from + i,
          count: Math.ceil((seeds - i) / stride),
          stride,
        };
        worker.postMessage(assignment);
      }
    });
  } finally {
    for (const worker of workers) worker.terminate();
  }
  return { played, failed: failed.sort((a, b) => a.seed - b.seed), counts, simulatedMs };
}
