/** Plays seeds in a worker, so that every core has something to do. */
import { simulate, type Violation } from "./simulation.ts";
import { storyOf } from "./story.ts";

/** What a worker is asked: to play `count` seeds from `from` on, each `stride` after the other. */
export interface Assignment {
  readonly from: number;
  readonly count: number;
  readonly stride: number;
}

/** What a worker tells of each seed. */
export interface Played {
  readonly seed: number;
  readonly violation: Violation | null;
  readonly counts: readonly (readonly [kind: string, count: number])[];
  readonly simulatedMs: number;
}

const scope = self as unknown as {
  onmessage: (message: MessageEvent<Assignment>) => void;
  postMessage: (played: Played) => void;
};

scope.onmessage = async ({ data: { from, count, stride } }) => {
  for (let i = 0; i < count; i++) {
    const seed = from + i * stride;
    const { violation, counts, simulatedMs } = await simulate(storyOf(seed));
    scope.postMessage({ seed, violation, counts: [...counts], simulatedMs });
  }
};
