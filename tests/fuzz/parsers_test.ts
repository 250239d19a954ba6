import assert from "node:assert/strict";
import { campaign, throwAt } from "./parsers/campaign.ts";
import { oversee, replay } from "./parsers/overseer.ts";
import { allTargets } from "./parsers/targets.ts";

/** As tests/fuzz/fuzz.ts has it. `deno task fuzz` does the same for longer, and finds what hangs too. */
const given = Deno.env.get("MIRRORSYNC_FUZZ_SEED");
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
const SAMPLE = 3_000;

const PLANTED = new URL("parsers/planted.ts", import.meta.url);

Deno.test(`fuzz: ${SAMPLE} changed captures and made inputs: nothing but typed errors comes out of any parser`, async () => {
  const folder = await Deno.makeTempDir({ prefix: "mirrorsync-fuzz-" });
  try {
    const targets = await allTargets(folder);
    const { failures, tallies } = await campaign(targets, { seed, inputs: SAMPLE });
    for (const { index, target, hex, message } of failures) {
      console.error(`deno task fuzz --target ${JSON.stringify(target)} --hex ${hex}`);
      assert.fail(`${target}, seed ${seed}, input ${index}: ${message}`);
    }
    for (const [name, { mutated, made }] of tallies) {
      assert(mutated + made > 0, `nothing was thrown at ${name}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("fuzz: the same seed makes the same inputs, whatever real peers it has to make their captures first", async () => {
  const [one, two] = [await allTargets("/nowhere"), await allTargets("/nowhere")];
  for (let index = 0; index < 300; index++) {
    const [a, b] = [throwAt(one, 5, index), throwAt(two, 5, index)];
    assert.deepEqual([a.target.name, a.input.toHex()], [b.target.name, b.input.toHex()], `input ${index}`);
  }
});

for (
  const [planted, what, message] of [
    [1, "an error that is not a typed one", /TypeError: nobody has thought of a seven/],
    [2, "an input that hangs", /it hangs/],
    [3, "an input that eats the memory", /it ended the process/],
    [4, "an error that is told to nobody", /RangeError: told to nobody/],
  ] as const
) {
  Deno.test(`fuzz: ${what} is found, with its input`, async () => {
    const { failures } = await oversee({
      seed: planted,
      inputs: 1000,
      hangsAfterMs: planted === 2 ? 3_000 : 60_000,
    }, PLANTED);
    const [failure] = failures;
    assert.equal(failures.length, 1);
    assert.match(failure!.message, message);
    assert.equal(failure!.hex, "07");
  });
}

Deno.test("fuzz: without a mistake nothing is found, and an input that is given again breaks nothing", async () => {
  const { failures, tallies } = await oversee({ seed: 5, inputs: 1000 }, PLANTED);
  assert.deepEqual([failures, tallies[0]?.[1].mutated], [[], 1000]);
  assert.equal(await replay(PLANTED, "planted", "07"), null);
  assert.match(await replay(PLANTED, "nobody", "07") ?? "", /there is no target of that name/);
});
