import { chaos } from "./chaos.ts";

const KILLS = 10;
/** As `tests/fuzz` has it: a seed can be given to make the same choices again. `deno task chaos` does the same for longer. */
const given = Deno.env.get("MIRRORSYNC_FUZZ_SEED");
const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);

Deno.test(`${KILLS} processes killed at any moment while users work on both sides: in the end both mirrors are exact`, async () => {
  try {
    await chaos({ kills: KILLS, seed, settleEvery: KILLS }, () => {});
  } catch (error) {
    console.error(`again with: deno task chaos --kills ${KILLS} --seed ${seed}`);
    throw error;
  }
});
