import { columns, median } from "../../../scripts/support/text.ts";

/** What a process held at one moment. */
export interface ProcessSample {
  readonly rssBytes: number;
  /** Open file descriptors: files, sockets, pipes. */
  readonly openFiles: number;
}

/** Looks at a process, by Linux's `/proc`. */
export function sampleProcess(pid: number): ProcessSample {
  const match = /^VmRSS:\s+(\d+) kB/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`));
  if (match === null) throw new Error(`/proc/${pid}/status tells no VmRSS`);
  return { rssBytes: Number(match[1]) * 1024, openFiles: [...Deno.readDirSync(`/proc/${pid}/fd`)].length };
}

/** How far the median of the last third may be above that of the second one: what garbage that waits for its collection makes. */
const GROWTH = 1.05;
/** A few files are open or not as chance will have it. */
const SPARE_FILES = 2;

/** One quantity over time, judged. */
export interface Flatness {
  readonly second: number;
  readonly last: number;
  readonly flat: boolean;
}

/** Compares the medians of the second and of the last third of `values`; the first third may climb. */
export function flatness(values: readonly number[], spare: number): Flatness {
  const third = Math.floor(values.length / 3);
  const second = median(values.slice(third, 2 * third));
  const last = median(values.slice(2 * third));
  return { second, last, flat: last <= Math.max(second * GROWTH, second + spare) };
}

/** The samples of one process. */
export class ProcessCurve {
  readonly #samples: ProcessSample[] = [];

  constructor(readonly name: string) {}

  add(sample: ProcessSample): void {
    this.#samples.push(sample);
  }

  get samples(): number {
    return this.#samples.length;
  }

  get memory(): Flatness {
    return flatness(this.#samples.map(({ rssBytes }) => rssBytes), 0);
  }

  get openFiles(): Flatness {
    return flatness(this.#samples.map(({ openFiles }) => openFiles), SPARE_FILES);
  }

  /** `rows` rows, each the medians of as many samples in a row. */
  rows(rows: number): { readonly rss: string; readonly openFiles: string; readonly bar: string }[] {
    const most = Math.max(...this.#samples.map(({ rssBytes }) => rssBytes));
    return Array.from({ length: rows }, (_, i) => {
      const part = this.#samples.slice(
        Math.floor(i * this.#samples.length / rows),
        Math.floor((i + 1) * this.#samples.length / rows),
      );
      const rss = median(part.map(({ rssBytes }) => rssBytes));
      const openFiles = median(part.map((sample) => sample.openFiles));
      return {
        rss: megabytes(rss),
        openFiles: String(openFiles),
        bar: "▇".repeat(Math.round(20 * rss / most)),
      };
    });
  }
}

const MOST_ROWS = 15;

/** The curves of both peers beside each other, a row for each fifteenth of the time, and what they come to. */
export function curveText(minutes: number, curves: readonly ProcessCurve[]): string {
  const count = Math.min(MOST_ROWS, ...curves.map(({ samples }) => samples));
  const all = curves.map((curve) => curve.rows(count));
  const head = ["until minute", ...curves.flatMap(({ name }) => [`${name}: MB`, "files", ""])];
  const body = Array.from({ length: count }, (_, i) => [
    ((i + 1) * minutes / count).toFixed(1),
    ...all.flatMap((rows) => [rows[i]!.rss, rows[i]!.openFiles, rows[i]!.bar]),
  ]);
  const sides = ["right", ...curves.flatMap(() => ["right", "right", "left"])] as ("left" | "right")[];
  const verdicts = curves.flatMap(({ name, memory, openFiles }) => [
    `${name}: memory ${megabytes(memory.second)} MB in the second third, ${
      megabytes(memory.last)
    } MB in the last: ` +
    (memory.flat ? "flat" : "IT GROWS"),
    `${name}: open files ${openFiles.second} and ${openFiles.last}: ${openFiles.flat ? "flat" : "THEY GROW"}`,
  ]);
  return [...columns([head, ...body], sides), "", ...verdicts].join("\n");
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
