/**
 * `deno task chaos [--kills N] [--seed S] [--settle-every K]`: kills two real peers N times in all while both of their users work, and
 * compares everything after each K kills and at the end.
 */
import { parseArgs } from "node:util";
import { chaos } from "./chaos.ts";

const { values } = parseArgs({
  options: {
    kills: { type: "string", default: "200" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    "settle-every": { type: "string", default: "20" },
  },
});
const [kills, seed, settleEvery] = [
  Number(values.kills),
  Number(values.seed),
  Number(values["settle-every"]),
];
if (![kills, seed, settleEvery].every(Number.isSafeInteger) || kills < 1 || settleEvery < 1) {
  console.error("deno task chaos [--kills N] [--seed S] [--settle-every K]: all are whole numbers");
  Deno.exit(2);
}
console.log(`${kills} kills, seed ${seed}`);
const started = performance.now();
const report = await chaos({ kills, seed, settleEvery }, console.log);
console.log("\nWhat the processes said, with # for numbers:");
for (const [line, times] of [...report.said].sort((a, b) => b[1] - a[1])) console.log(`${times} × ${line}`);
console.log(
  `\n${report.kills} kills and ${report.edits} edits in ${
    ((performance.now() - started) / 1000).toFixed(0)
  } s; ` +
    `both mirrors were compared ${report.settled} times and were byte for byte their sources`,
);
