/** In place of run.ts: targets with a mistake of a kind that the seed chooses. The test of the overseer has it find them. */
import { serve } from "./serve.ts";
import type { Target } from "./target.ts";

/** The inputs, a byte each, come in no order; this one shows the mistake. */
const BAD = 7;

const MISTAKES: Readonly<Record<string, () => void | Promise<void>>> = {
  "1": () => {
    throw new TypeError("nobody has thought of a seven");
  },
  "2": () => {
    for (;;);
  },
  "3": () => {
    const held: number[][] = [];
    for (;;) held.push(new Array(10_000).fill(7));
  },
  "4": () => {
    void Promise.reject(new RangeError("told to nobody"));
    return new Promise((resolve) => setTimeout(resolve, 0));
  },
};

const mistake = MISTAKES[Deno.args[1] ?? ""];
const target: Target = {
  name: "planted",
  share: 1,
  mutated: (random) => new Uint8Array([random.int(0, 20)]),
  read: (input) => input[0] === BAD ? mistake?.() : undefined,
};
await serve(() => Promise.resolve([target]));
