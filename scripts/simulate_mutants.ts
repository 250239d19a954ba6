/**
 * `deno task simulate:mutants [--seeds N] [NAME]`: plants the faults of tests/simulation/mutants.ts, one at a time, in a copy of the
 * program, and counts how many of them the simulator finds within N seeds (2,000 unless told otherwise).
 */
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type Mutant, MUTANTS } from "../tests/simulation/mutants.ts";
import { ROOT } from "./support/root.ts";

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: { seeds: { type: "string", default: "2000" } },
});

const chosen = MUTANTS.filter(({ name }) => positionals.every((word) => name.includes(word)));
let found = 0;
for (const mutant of chosen) {
  const told = await hunt(mutant);
  const seed = told === null ? null : /\d+/.exec(told)![0];
  // A seed that fails without the fault has found something else.
  if (seed !== null && await play(ROOT, ["--seeds", "1", "--from", seed]) !== null) {
    throw new Error(`seed ${seed} fails without "${mutant.name}" too: that has to be mended first`);
  }
  if (told !== null) found++;
  console.log(`${told === null ? "NOT FOUND" : "found"}: ${mutant.name}${told === null ? "" : ` (${told})`}`);
}
console.log(`${found} of ${chosen.length} planted faults found within ${values.seeds} seeds each`);
Deno.exit(found === chosen.length && found > 0 ? 0 : 1);

/** Plays seeds on a copy with the fault; tells which seed found it, and how. */
async function hunt(mutant: Mutant): Promise<string | null> {
  const copy = await Deno.makeTempDir({ prefix: "mirrorsync-mutant-" });
  try {
    for (const path of ["deno.json", "deno.lock", "scripts/simulate.ts", "src", "tests/simulation"]) {
      await copyTree(join(ROOT, path), join(copy, path));
    }
    const file = join(copy, mutant.file);
    const text = await Deno.readTextFile(file);
    const count = text.split(mutant.from).length - 1;
    if (count !== 1) {
      throw new Error(`${mutant.file} holds what "${mutant.name}" replaces ${count} times, not once`);
    }
    await Deno.writeTextFile(file, text.replace(mutant.from, () => mutant.to));
    return await play(copy, ["--until-first", "--seeds", values.seeds]);
  } finally {
    await Deno.remove(copy, { recursive: true });
  }
}

/** Plays seeds of the program in a folder; tells the first that fails. */
async function play(cwd: string, args: readonly string[]): Promise<string | null> {
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-prompt", "--allow-read", "--allow-sys", "scripts/simulate.ts"]
      .concat(["--no-shrink", ...args]),
    cwd,
  }).output();
  const output = new TextDecoder().decode(stdout);
  const first = /^seed \d+: .*$/m.exec(output)?.[0] ?? null;
  if (first === null && !/ 0 failed/.test(output)) throw new Error(output + new TextDecoder().decode(stderr));
  return first;
}

async function copyTree(from: string, to: string): Promise<void> {
  if (!(await Deno.lstat(from)).isDirectory) {
    await Deno.mkdir(dirname(to), { recursive: true });
    return await Deno.copyFile(from, to);
  }
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) await copyTree(join(from, name), join(to, name));
}
