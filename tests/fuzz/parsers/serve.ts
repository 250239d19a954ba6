import { campaign, readOnce, throwAt } from "./campaign.ts";
import type { Target } from "./target.ts";

/**
 * What a process does that reads hostile inputs and is watched over (overseer.ts). It ends the process.
 *
 * Arguments: `campaign SEED INPUTS FILE MAX_FAILURES` (before each input its index goes into the file), `show SEED INDEX`,
 * `input TARGET HEX`.
 *
 * @param make Makes the targets; the folder is for what has to be a file.
 */
export async function serve(make: (folder: string) => Promise<readonly Target[]>): Promise<never> {
  const folder = await Deno.makeTempDir({ prefix: "mirrorsync-fuzz-" });
  let status: number;
  try {
    status = await answer(await make(folder), Deno.args);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  // Databases and simulated peers are left as they are.
  Deno.exit(status);
}

async function answer(targets: readonly Target[], [what, ...args]: readonly string[]): Promise<number> {
  switch (what) {
    case "show": {
      const { target, input } = throwAt(targets, Number(args[0]), Number(args[1]));
      return say({ target: target.name, hex: input.toHex() }, true);
    }
    case "input": {
      const target = targets.find(({ name }) => name === args[0]);
      if (target === undefined) {
        const names = targets.map(({ name }) => JSON.stringify(name)).join(", ");
        return say({ message: `there is no target of that name: there is ${names}` }, false);
      }
      const message = await readOnce(target, Uint8Array.fromHex(args[1]!));
      return say({ message }, message === null);
    }
    default: {
      // Hundreds of thousands of refusals: where each came from costs more than all else. What is given again tells it.
      Error.stackTraceLimit = 2;
      using file = await Deno.open(args[2]!, { write: true });
      const bytes = new Uint8Array(8);
      const outcome = await campaign(targets, {
        seed: Number(args[0]),
        inputs: Number(args[1]),
        maxFailures: Number(args[3]),
        onBegin: (index) => {
          new DataView(bytes.buffer).setBigUint64(0, BigInt(index));
          file.seekSync(0, Deno.SeekMode.Start);
          file.writeSync(bytes);
        },
      });
      return say({ ...outcome, tallies: [...outcome.tallies] }, outcome.failures.length === 0);
    }
  }
}

function say(answer: unknown, isWell: boolean): number {
  console.log(JSON.stringify(answer));
  return isWell ? 0 : 1;
}
