/**
 * `deno task simulate [--seeds N] [--from S] [--workers W] [--until-first] [--no-shrink]`: plays N seeds of the simulation from S on. Of the first
 * ones that fail it prints the story, made as short as possible.
 *
 * `deno task simulate --seed S [--trace]`: plays one seed, and shrinks it if it fails; with --trace it tells everything that happens.
 */
import { parseArgs } from "node:util";
import { campaign } from "../tests/simulation/campaign.ts";
import { shrink } from "../tests/simulation/shrink.ts";
import { simulate, type Violation } from "../tests/simulation/simulation.ts";
import { storyOf, tellStep } from "../tests/simulation/story.ts";

/** Failing seeds whose stories are shrunk. */
const SHRUNK = 3;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    workers: { type: "string" },
    "until-first": { type: "boolean", default: false },
    "no-shrink": { type: "boolean", default: false },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

if (values.seed !== undefined) await playOne(wholeNumber("seed", values.seed), values.trace);
else await playMany();

async function playOne(seed: number, trace: boolean): Promise<never> {
  const outcome = await simulate(storyOf(seed), { trace });
  for (const line of outcome.trace) console.log(line);
  if (outcome.violation === null) {
    console.log(`seed ${seed}: all is as it should be`);
    Deno.exit(0);
  }
  await tell(seed, outcome.violation);
  Deno.exit(1);
}

async function playMany(): Promise<never> {
  const seeds = wholeNumber("seeds", values.seeds);
  const from = wholeNumber("from", values.from);
  const started = performance.now();
  let told = 0;
  const { played, failed, counts, simulatedMs } = await campaign({
    seeds,
    from,
    untilFirst: values["until-first"],
    ...(values.workers === undefined ? {} : { workers: wholeNumber("workers", values.workers) }),
    onPlayed: ({ seed, violation }) => {
      if (violation !== null) console.log(`seed ${seed}: ${violation.kind}`);
      if (++told % 1000 === 0) console.log(`${told} seeds`);
    },
  });
  const seconds = (performance.now() - started) / 1000;
  for (const { seed, violation } of failed.slice(0, values["no-shrink"] ? 0 : SHRUNK)) {
    if (violation !== null) await tell(seed, violation);
  }
  const steps = [...counts].sort().map(([kind, count]) => `${kind} ${count}`).join(", ");
  console.log(`steps: ${steps}`);
  console.log(
    `${played} seeds from ${from} in ${seconds.toFixed(1)} s (${
      (simulatedMs / 3_600_000).toFixed(1)
    } h simulated): ` +
      `${played - failed.length} passed, ${failed.length} failed` +
      (failed.length === 0 ? "" : `: ${failed.map(({ seed }) => seed).join(" ")}`),
  );
  Deno.exit(failed.length === 0 ? 0 : 1);
}

async function tell(seed: number, found: Violation): Promise<void> {
  const { story, violation, plays } = await shrink(storyOf(seed), found);
  const { steps, manners, dialler, lastCut } = story;
  console.log(`\nseed ${seed}: ${violation.kind}\n${violation.message}`);
  console.log(
    `the shortest story found in ${plays} plays (${dialler} dials; ${
      JSON.stringify(manners)
    }; lastCut ${lastCut}):`,
  );
  const { trace } = await simulate(story, { trace: true });
  for (const step of steps) console.log(`  ${tellStep(step)}`);
  console.log(trace.slice(0, 150).map((line) => `  | ${line}`).join("\n"));
  console.log(`again: deno task simulate --seed ${seed}\n`);
}

function wholeNumber(flag: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${flag} takes a whole number, not ${text}`);
  Deno.exit(2);
}
