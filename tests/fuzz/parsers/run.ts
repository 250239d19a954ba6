/**
 * The process that reads hostile inputs; `deno task fuzz` (scripts/fuzz.ts) starts it and watches over it.
 *
 * Arguments: `campaign SEED INPUTS FILE [MAX_FAILURES]` (before each input its index goes into the file), `show SEED INDEX`, `input TARGET HEX`.
 */
import { campaign, readOnce, throwAt } from "./campaign.ts";
import { allTargets } from "./targets.ts";

const [what, ...args] = Deno.args;
const folder = await Deno.makeTempDir({ prefix: "mirrorsync-fuzz-" });
let broken = false;
try {
  const targets = await allTargets(folder);
  if (what === "show") {
    const { target, input } = throwAt(targets, Number(args[0]), Number(args[1]));
    console.log(JSON.stringify({ target: target.name, hex: input.toHex() }));
  } else if (what === "input") {
    const target = targets.find(({ name }) => name === args[0]);
    if (target === undefined) {
      console.error(
        `there is no target of that name: there is ${targets.map(({ name }) => name).join(", ")}`,
      );
      Deno.exit(2);
    }
    const message = await readOnce(target, Uint8Array.fromHex(args[1]!));
    console.log(JSON.stringify({ message }));
    broken = message !== null;
  } else {
    using file = await Deno.open(args[2]!, { write: true });
    const index = new Uint8Array(8);
    const outcome = await campaign(targets, {
      seed: Number(args[0]),
      inputs: Number(args[1]),
      maxFailures: Number(args[3] ?? 1),
      onBegin: (at) => {
        new DataView(index.buffer).setBigUint64(0, BigInt(at));
        file.seekSync(0, Deno.SeekMode.Start);
        file.writeSync(index);
      },
    });
    console.log(JSON.stringify({ ...outcome, tallies: [...outcome.tallies] }));
    broken = outcome.failures.length > 0;
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
// Databases and simulated peers are left as they are.
Deno.exit(broken ? 1 : 0);
