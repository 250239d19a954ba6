import { campaign } from "../fuzz/hostile/campaign.ts";
import { reportText } from "../fuzz/hostile/report_text.ts";

/** As `tests/fuzz` has it: a seed can be given to repeat a failure. `deno task hostile` does the same for longer. */
const given = Deno.env.get("MIRRORSYNC_FUZZ_SEED");
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);

Deno.test("a trusted peer that sends 20,000 hostile frames reaches nothing, stops nothing, and the honest are served", async () => {
  try {
    console.log(reportText(await campaign(20_000, seed)));
  } catch (error) {
    console.error(`again with: deno task hostile --frames 20000 --seed ${seed}`);
    throw error;
  }
});
