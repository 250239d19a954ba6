import fc from "fast-check";
import { Prng } from "../../simulation/prng.ts";
import type { Target } from "./target.ts";

/** What the process may have resident, at most: asked for now and then, and of what has been at the end. */
export const MAX_RESIDENT_BYTES = 768 * 1024 * 1024;
/** Inputs between two looks at the memory. */
const LOOK_EVERY = 200;
/** Of the inputs for a target that has an arbitrary, those that fast-check makes. */
const MADE_SHARE = 0.25;

/** One input, and whom it is for. */
export interface Throw {
  readonly target: Target;
  readonly input: Uint8Array;
  readonly isMade: boolean;
}

/** An input that has broken something. */
export interface Failure {
  readonly index: number;
  readonly target: string;
  readonly hex: string;
  readonly message: string;
}

/** What one target was given. */
export interface Tally {
  mutated: number;
  made: number;
  /** Milliseconds in all, and for the slowest input. */
  totalMs: number;
  slowestMs: number;
  slowestIndex: number;
}

export interface Outcome {
  readonly tallies: ReadonlyMap<string, Tally>;
  readonly failures: readonly Failure[];
  readonly residentAtMostBytes: number;
}

/** The input at an index: the same for a seed, whatever came before it. */
export function throwAt(targets: readonly Target[], seed: number, index: number): Throw {
  const random = new Prng(`fuzz ${seed} ${index}`);
  // Each once, and then by their shares.
  const target = targets[index] ?? chosen(targets, random);
  const { arbitrary } = target;
  if (arbitrary !== undefined && random.chance(MADE_SHARE)) {
    const [input] = fc.sample(arbitrary, { seed: random.int(0, 2 ** 31 - 1), numRuns: 1 });
    return { target, input: input!, isMade: true };
  }
  return { target, input: target.mutated(random), isMade: false };
}

function chosen(targets: readonly Target[], random: Prng): Target {
  let left = random.unit() * targets.reduce((sum, { share }) => sum + share, 0);
  for (const target of targets) {
    left -= target.share;
    if (left <= 0) return target;
  }
  return targets[0]!;
}

/** Lets a target read one input; gives what it has broken. */
export async function readOnce(target: Target, input: Uint8Array): Promise<string | null> {
  let stray: string | null = null;
  const onStray = (event: PromiseRejectionEvent | ErrorEvent) => {
    event.preventDefault();
    stray ??= `nobody has caught: ${textOf("reason" in event ? event.reason : event.error)}`;
  };
  globalThis.addEventListener("unhandledrejection", onStray);
  globalThis.addEventListener("error", onStray);
  try {
    await target.read(input);
    return stray;
  } catch (error) {
    return textOf(error);
  } finally {
    globalThis.removeEventListener("unhandledrejection", onStray);
    globalThis.removeEventListener("error", onStray);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? error.message : String(error);
}

/**
 * Throws inputs at the targets, one after the other.
 *
 * @param options `from` is the first index, `onBegin` is told of each before it is read, `maxFailures` ends it early.
 */
export async function campaign(
  targets: readonly Target[],
  options: {
    readonly seed: number;
    readonly inputs: number;
    readonly from?: number;
    readonly maxFailures?: number;
    readonly onBegin?: (index: number) => void;
    readonly onFailure?: (failure: Failure) => void;
  },
): Promise<Outcome> {
  const { seed, inputs, from = 0, maxFailures = 1 } = options;
  const tallies = new Map(targets.map(({ name }): [string, Tally] => [
    name,
    { mutated: 0, made: 0, totalMs: 0, slowestMs: 0, slowestIndex: -1 },
  ]));
  const failures: Failure[] = [];
  let residentAtMostBytes = 0;
  for (let index = from; index < from + inputs && failures.length < maxFailures; index++) {
    options.onBegin?.(index);
    const { target, input, isMade } = throwAt(targets, seed, index);
    const tally = tallies.get(target.name)!;
    const startedMs = performance.now();
    let broken = await readOnce(target, input);
    const tookMs = performance.now() - startedMs;
    tally[isMade ? "made" : "mutated"]++;
    tally.totalMs += tookMs;
    if (tookMs > tally.slowestMs) Object.assign(tally, { slowestMs: tookMs, slowestIndex: index });
    if (index % LOOK_EVERY === 0 || tookMs > 100) {
      const { rss } = Deno.memoryUsage();
      residentAtMostBytes = Math.max(residentAtMostBytes, rss);
      if (rss > MAX_RESIDENT_BYTES) {
        broken ??= `${rss} bytes are resident, after this input or those before it`;
      }
    }
    if (broken === null) continue;
    const failure = { index, target: target.name, hex: input.toHex(), message: broken };
    failures.push(failure);
    options.onFailure?.(failure);
  }
  return { tallies, failures, residentAtMostBytes };
}
