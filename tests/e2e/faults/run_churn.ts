/**
 * `deno task churn [--minutes M] [--seed S] [--every-ms E]`: two real peers, and in both watched folders a user who does something every
 * E ms. Looks at memory and open files of both processes every ten seconds, and tells at the end whether they have stopped growing. Linux.
 */
import { parseArgs } from "node:util";
import { plural } from "../../../scripts/support/text.ts";
import { pause } from "../../helpers/eventually.ts";
import { pair } from "../../helpers/program.ts";
import { curveText, ProcessCurve, sampleProcess } from "./process_curve.ts";
import { assertNoProblems, assertSettled, confirmHeld } from "./settled.ts";
import { Users } from "./users.ts";

const SAMPLE_EVERY_MS = 10_000;
const MOST = { files: 500, bytes: 60_000_000 };

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "30" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    "every-ms": { type: "string", default: "150" },
  },
});
const [minutes, seed, everyMs] = [Number(values.minutes), Number(values.seed), Number(values["every-ms"])];
if (!(minutes > 0) || !Number.isSafeInteger(seed) || !(everyMs > 0)) {
  console.error("deno task churn [--minutes M] [--seed S] [--every-ms E]");
  Deno.exit(2);
}
console.log(`${minutes} minutes, seed ${seed}, something in each folder every ${everyMs} ms`);

await using made = await pair({ inside: true });
const peers = [made.a, made.b];
await Promise.all(peers.map((peer) => peer.start()));
const curves = peers.map(({ name }) => new ProcessCurve(name));
await using users = new Users(peers, { seed, most: MOST, everyMs });
users.work();
const started = performance.now();
for (let at = SAMPLE_EVERY_MS; at <= minutes * 60_000; at += SAMPLE_EVERY_MS) {
  await pause(Math.max(0, started + at - performance.now()));
  for (const [i, peer] of peers.entries()) {
    const hopeless = peer.running!.hopeless();
    if (hopeless !== null) throw new Error(`${peer.name}: ${hopeless}`);
    curves[i]!.add(sampleProcess(peer.running!.pid));
    await confirmHeld(peer);
  }
  if (at % 60_000 === 0) console.log(`minute ${at / 60_000}: ${users.acts.join(" and ")} edits`);
}
await users.rest();
await assertSettled(made);
for (const peer of peers) await assertNoProblems(peer);

console.log(curveText(minutes, curves));
for (const [i, { home, name }] of peers.entries()) {
  const { size } = Deno.statSync(`${home}/mirrorsync.db`);
  console.log(`${name}: ${plural(users.acts[i]!, "edit")}; the database has ${(size / 1e6).toFixed(1)} MB`);
}
console.log(
  "both mirrors are byte for byte their sources, nothing is pending or in staging, both databases are sound",
);
await Promise.all(peers.map((peer) => peer.stop()));
if (curves.some(({ memory, openFiles }) => !memory.flat || !openFiles.flat)) Deno.exitCode = 1;
