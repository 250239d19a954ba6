/**
 * `deno task hostile [--frames N] [--seed S]`: throws hostile frames of a trusted peer at a real `mirrorsync run`, and tells what came
 * back. The same as `tests/e2e/hostile_peer_test.ts`, for as long as you like.
 */
import { parseArgs } from "node:util";
import { campaign } from "./campaign.ts";
import { reportText } from "./report_text.ts";

const { values } = parseArgs({
  options: { frames: { type: "string", default: "100000" }, seed: { type: "string" } },
});
const frames = Number(values.frames);
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
if (!Number.isSafeInteger(frames) || frames < 1 || !Number.isSafeInteger(seed)) {
  console.error("deno task hostile [--frames N] [--seed S]: both are whole numbers");
  Deno.exit(2);
}
console.log(`${frames} frames, seed ${seed}`);
console.log(reportText(await campaign(frames, seed)));
