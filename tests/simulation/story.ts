import type { Cut } from "./hub.ts";
import type { Death, Manners, Troubles } from "./process.ts";
import { Prng } from "./prng.ts";
import { USER_ACTIONS, type UserAction } from "./user.ts";

export type Name = "anna" | "bert";
export const NAMES: readonly Name[] = ["anna", "bert"];

export function otherThan(name: Name): Name {
  return name === "anna" ? "bert" : "anna";
}

/** What happens in a step. */
export type Happening =
  | {
    readonly kind: "user";
    readonly on: Name;
    readonly side: "watched" | "synced";
    readonly action: UserAction;
  }
  /** A file is deleted in `watched/`, and at once by hand in the `synced/` that mirrors it, on this computer. */
  | { readonly kind: "both delete"; readonly on: Name }
  | { readonly kind: "cut"; readonly how: Cut }
  /** The cable is cut so long after this machine has next written that a large file has come to its end. */
  | { readonly kind: "cut at the end"; readonly from: Name; readonly how: Cut; readonly afterMs: number }
  /** A user edits the next file in `synced/` on this machine that the program works on, when so many more calls were made. */
  | { readonly kind: "edit at the commit"; readonly on: Name; readonly calls: number }
  | { readonly kind: "cut later"; readonly from: Name; readonly bytes: number; readonly how: Cut }
  | { readonly kind: "down"; readonly how: Cut; readonly forMs: number }
  | {
    readonly kind: "kill";
    readonly on: Name;
    readonly how: Death;
    /** The process dies at so many calls from now; at once if it is at rest for a while. */
    readonly calls: number;
    readonly upAfterMs: number;
    readonly rollBack: boolean;
  }
  /** The same, so many calls after the next version of a file was sent to it. */
  | { readonly kind: "kill at the commit"; readonly on: Name; readonly how: Death; readonly calls: number }
  | { readonly kind: "restart"; readonly on: Name; readonly upAfterMs: number; readonly rollBack: boolean }
  | { readonly kind: "swap dialler"; readonly how: Death | "stopped"; readonly dialler: Name | "both" }
  | { readonly kind: "backup"; readonly on: Name }
  | { readonly kind: "io errors"; readonly on: Name; readonly forMs: number; readonly probability: number }
  | { readonly kind: "full disk" | "slow disk"; readonly on: Name; readonly forMs: number }
  | {
    readonly kind: "watcher";
    readonly on: Name;
    readonly mode: Troubles["watcher"];
    readonly forMs: number;
  }
  | { readonly kind: "clock"; readonly on: Name; readonly byMs: number }
  | { readonly kind: "spoil"; readonly on: Name };

export interface Step {
  readonly number: number;
  readonly atMs: number;
  readonly happens: Happening;
}

/** All that a seed decides before anything happens. */
export interface Story {
  readonly seed: number;
  readonly manners: Manners;
  readonly dialler: Name | "both";
  readonly steps: readonly Step[];
  /** The power of both is cut at the end, when everything rests. */
  readonly lastCut: boolean;
}

/** Writes the story of a seed. */
export function storyOf(seed: number): Story {
  const random = new Prng(`story ${seed}`);
  const lengthMs = random.int(2_000, 20_000);
  const manners: Manners = {
    slowCalls: random.pick([0, 0.02, 0.2, 0.5]),
    slowestCallMs: random.pick([1, 5, 30]),
    survives: random.pick([0, 0.3, 0.7]),
    latencyMs: random.pick([0.2, 5, 50]),
    splits: random.pick([0, 0.1, 0.5]),
    trash: random.chance(0.7),
    foldsOnAnna: random.chance(0.1),
    foldsOnBert: random.chance(0.1),
  };
  const steps: Omit<Step, "number">[] = [];
  const sided = random.chance(0.5) ? random.pick(NAMES) : null;
  const edits = random.chance(0.6) ? random.unit() * 0.3 : 0;
  const userSteps = random.int(3, 40);
  const before = random.int(0, 8);
  let atMs = 0;
  for (let i = 0; i < userSteps; i++) {
    // Users work in bursts.
    atMs = random.chance(0.6) ? atMs + random.unit() * 30 : random.unit() * lengthMs;
    steps.push({
      atMs: i < before ? -1 : atMs,
      happens: {
        kind: "user",
        on: sided ?? random.pick(NAMES),
        side: random.chance(edits) ? "synced" : "watched",
        action: random.pick(USER_ACTIONS),
      },
    });
  }
  if (!random.chance(0.15)) {
    const kinds = FAULTS.filter(() => random.chance(0.5));
    const count = kinds.length === 0 ? 0 : random.int(1, 12);
    for (let i = 0; i < count; i++) {
      // Most faults come when something is under way.
      const at = random.chance(0.7) ? random.pick(steps).atMs + random.unit() * 50 : random.unit() * lengthMs;
      steps.push({ atMs: Math.max(0, at), happens: random.pick(kinds)(random) });
    }
  }
  const dialler = random.pick([...NAMES, "both"] as const);
  const lastCut = random.chance(0.5);
  if (random.chance(0.08)) {
    const atMs = Math.max(0, random.pick(steps).atMs + random.unit() * 1000);
    steps.push({ atMs, happens: { kind: "both delete", on: random.pick(NAMES) } });
  }
  if (random.chance(0.08)) {
    const from = random.pick(NAMES), atMs = random.unit() * lengthMs;
    const afterMs = random.unit() * (manners.latencyMs + manners.slowestCallMs) * 2;
    steps.push({ atMs, happens: { kind: "cut at the end", from, how: cutOf(random), afterMs } });
    const happens = { kind: "user", on: from, side: "watched", action: "change large" } as const;
    steps.push({ atMs: atMs + 1, happens });
  }
  if (random.chance(0.1)) {
    const on = random.pick(NAMES), atMs = random.unit() * lengthMs;
    const calls = random.pick([1, random.int(1, 12)]);
    steps.push({ atMs, happens: { kind: "edit at the commit", on, calls } });
    steps.push({ atMs: atMs + 1, happens: saveTowards(on, random) });
  }
  if (random.chance(0.1)) {
    const on = random.pick(NAMES), atMs = random.unit() * lengthMs;
    steps.push({
      atMs,
      happens: { kind: "kill at the commit", on, how: deathOf(random), calls: random.int(1, 60) },
    });
    steps.push({ atMs: atMs + 1, happens: saveTowards(on, random) });
  }
  steps.sort((a, b) => a.atMs - b.atMs);
  return { seed, manners, dialler, steps: steps.map((step, number) => ({ number, ...step })), lastCut };
}

/** A new version of something, or a new time of it, comes to a machine. */
const saveTowards = (on: Name, random: Prng): Happening => ({
  kind: "user",
  on: otherThan(on),
  side: "watched",
  action: random.pick(["edit", "touch"]),
});
const cutOf = (random: Prng): Cut => random.chance(0.8) ? "reset" : "silent";
const deathOf = (random: Prng): Death => random.chance(0.7) ? "power" : "killed";
const kill = (random: Prng): Happening => ({
  kind: "kill",
  on: random.pick(NAMES),
  how: deathOf(random),
  calls: random.pick([1, random.int(1, 20), random.int(1, 200)]),
  upAfterMs: random.pick([1, 200, 3000]),
  rollBack: random.chance(0.1),
});

/** Every kind of fault; kills are the most instructive. */
const FAULTS: readonly ((random: Prng) => Happening)[] = [
  kill,
  kill,
  kill,
  (random) => ({ kind: "cut", how: cutOf(random) }),
  (random) => ({
    kind: "cut later",
    from: random.pick(NAMES),
    bytes: random.int(1, random.pick([200, 2000, 300_000])),
    how: cutOf(random),
  }),
  (random) => ({ kind: "down", how: cutOf(random), forMs: random.int(10, 8000) }),
  (random) => ({
    kind: "restart",
    on: random.pick(NAMES),
    upAfterMs: random.pick([1, 200, 3000]),
    rollBack: random.chance(0.2),
  }),
  (random) => ({
    kind: "swap dialler",
    how: random.pick(["stopped", "killed", "power"]),
    dialler: random.pick(["anna", "bert", "both"]),
  }),
  (random) => ({ kind: "backup", on: random.pick(NAMES) }),
  (random) => ({
    kind: "io errors",
    on: random.pick(NAMES),
    forMs: random.int(10, 3000),
    probability: random.pick([0.01, 0.1, 0.5]),
  }),
  (random) => ({ kind: "full disk", on: random.pick(NAMES), forMs: random.int(10, 5000) }),
  (random) => ({ kind: "slow disk", on: random.pick(NAMES), forMs: random.int(10, 5000) }),
  (random) => ({
    kind: "watcher",
    on: random.pick(NAMES),
    mode: random.pick(["drops", "delays", "overflows", "breaks"]),
    forMs: random.int(100, 8000),
  }),
  (random) => ({
    kind: "clock",
    on: random.pick(NAMES),
    byMs: random.pick([-1, 1]) * random.pick([500, 5000, 3_600_000, 90 * 86_400_000]),
  }),
  (random) => ({ kind: "spoil", on: random.pick(NAMES) }),
];

/** A step in one line. */
export function tellStep({ number, atMs, happens }: Step): string {
  const { kind, ...rest } = happens;
  const details = Object.entries(rest).map(([key, value]) => `${key} ${value}`).join(", ");
  return `#${number} at ${atMs.toFixed(1)} ms: ${kind}${details === "" ? "" : ` (${details})`}`;
}
