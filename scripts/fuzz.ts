/**
 * `deno task fuzz [--inputs N] [--seed S]`: throws N inputs at everything that reads what it did not write (tests/fuzz/parsers), in a
 * process that is watched. An input that breaks something, hangs or eats the memory is printed.
 *
 * `deno task fuzz --seed S --at I`: the input at one index again. `deno task fuzz --target NAME --hex BYTES`: one input again.
 */
import { parseArgs } from "node:util";
import type { Failure } from "../tests/fuzz/parsers/campaign.ts";
import { oversee, replay, show } from "../tests/fuzz/parsers/overseer.ts";

const PROGRAM = new URL("../tests/fuzz/parsers/run.ts", import.meta.url);
const PROGRESS_EVERY = 50_000;

const { values } = parseArgs({
  args: Deno.args,
  options: {
    inputs: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    failures: { type: "string", default: "1" },
    at: { type: "string" },
    target: { type: "string" },
    hex: { type: "string" },
  },
});
const seed = wholeNumber("seed", values.seed);
if (values.hex !== undefined) await again(values.target ?? "", values.hex);
if (values.at !== undefined) {
  const { target, hex } = await show(PROGRAM, seed, wholeNumber("at", values.at));
  console.log(`--target ${JSON.stringify(target)} --hex ${hex}`);
  await again(target, hex);
}

const inputs = wholeNumber("inputs", values.inputs);
console.log(`${inputs} inputs, seed ${seed}`);
const started = performance.now();
let told = 0;
const { tallies, failures, residentAtMostBytes } = await oversee({
  ...{ seed, inputs, maxFailures: wholeNumber("failures", values.failures) },
  onProgress: (index) => {
    if (index < told + PROGRESS_EVERY) return;
    told = index - index % PROGRESS_EVERY;
    console.log(`${told} inputs, ${((performance.now() - started) / 1000).toFixed(0)} s`);
  },
}, PROGRAM);
for (const [name, { mutated, made, totalMs, slowestMs, slowestIndex }] of tallies) {
  console.log(
    `${String(mutated + made).padStart(8)}  ${name}: ${mutated} mutated, ${made} by fast-check; ${
      (totalMs / 1000).toFixed(1)
    } s, the slowest ${slowestMs.toFixed(0)} ms (--at ${slowestIndex})`,
  );
}
for (const failure of failures) tell(failure);
const done = tallies.reduce((sum, [, { mutated, made }]) => sum + mutated + made, 0);
console.log(
  `${done} inputs in ${((performance.now() - started) / 1000).toFixed(0)} s, at most ${
    Math.round(residentAtMostBytes / 2 ** 20)
  } MiB resident: ${failures.length === 0 ? "nothing but typed errors" : `${failures.length} failed`}`,
);
Deno.exit(failures.length === 0 ? 0 : 1);

async function again(target: string, hex: string): Promise<never> {
  const message = await replay(PROGRAM, target, hex);
  console.log(message ?? "nothing is broken");
  Deno.exit(message === null ? 0 : 1);
}

function tell({ index, target, hex, message }: Failure): void {
  console.log(`\n${target}, seed ${seed}, input ${index}: ${message}`);
  console.log(`the input: ${hex}`);
  const isShort = hex.length < 2000;
  console.log(
    `again: deno task fuzz ${
      isShort ? `--target ${JSON.stringify(target)} --hex ${hex}` : `--seed ${seed} --at ${index}`
    }\n`,
  );
}

function wholeNumber(flag: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  console.error(`--${flag} takes a whole number, not ${text}`);
  Deno.exit(2);
}
