import * as v from "valibot";
import { FINDING, type Finding, isBad, type Tally } from "./finding.ts";

/** What verifying has found and done, as it is told to whoever asked. */
export interface VerifyResult {
  readonly repair: boolean;
  readonly tookMs: number;
  /** What was read on this side. */
  readonly watched: Readonly<Tally>;
  readonly synced: Readonly<Tally>;
  /** Findings on this side that found no room. */
  readonly more: number;
  readonly peers: readonly VerifiedPeer[];
  readonly findings: readonly VerifiedFinding[];
}

/** What came of asking one peer. */
export interface VerifiedPeer {
  readonly name: string;
  /** `not_asked`: there is no link. `cannot`: its program does not know how to. `lost`: it did not answer to the end. */
  readonly state: "verified" | "not_asked" | "cannot" | "lost";
  readonly reason: string | null;
  readonly watched: Readonly<Tally>;
  readonly synced: Readonly<Tally>;
  readonly more: number;
  /** Paths at which the peer held other than this side believed; `null` when that was not found out. */
  readonly differencesThere: number | null;
  /** Paths at which this side held other than the peer believed. */
  readonly differencesHere: number | null;
}

/** A finding, and what became of it. */
export interface VerifiedFinding extends Finding {
  /** The peer on whose disk it is; `null`: this side. */
  readonly peer: string | null;
  readonly repaired: boolean;
  /** Why it was not repaired, when that was tried. */
  readonly notRepaired: string | null;
}

/** How far it has come. */
export interface VerifyProgress {
  readonly stage: "reading" | "comparing" | "repairing";
  readonly sides: readonly {
    /** `null`: this side. */
    readonly peer: string | null;
    readonly files: number;
    readonly bytes: number;
    /** Bytes that there are to read, as far as is known. */
    readonly ofBytes: number;
  }[];
}

/** What a command and the running process tell each other of one verification, in `facts` under {@linkcode VERIFY_FACTS} and an id. */
export type VerifyFact =
  | { readonly state: "asked"; readonly repair: boolean }
  | { readonly state: "running"; readonly progress: VerifyProgress }
  | { readonly state: "done"; readonly result: VerifyResult }
  | { readonly state: "failed"; readonly message: string };

/** The beginning of the keys of such facts. Removing one stops what it asked for. */
export const VERIFY_FACTS = "verify/";

/** Whether everything is as it should be, or was put right, as far as it was looked at. */
export function isWell(result: VerifyResult): boolean {
  const hidden = result.more + result.peers.reduce((sum, { more }) => sum + more, 0);
  return hidden === 0 && result.peers.every(({ state }) => state !== "lost") &&
    result.findings.every((finding) => !isBad(finding) || finding.repaired);
}

const count = v.number();
const TALLY = v.object({ files: count, bytes: count });
const FACT: v.GenericSchema<unknown, VerifyFact> = v.variant("state", [
  v.object({ state: v.literal("asked"), repair: v.boolean() }),
  v.object({
    state: v.literal("running"),
    progress: v.object({
      stage: v.picklist(["reading", "comparing", "repairing"]),
      sides: v.array(
        v.object({ peer: v.nullable(v.string()), files: count, bytes: count, ofBytes: count }),
      ),
    }),
  }),
  v.object({
    state: v.literal("done"),
    result: v.object({
      repair: v.boolean(),
      tookMs: count,
      watched: TALLY,
      synced: TALLY,
      more: count,
      peers: v.array(v.object({
        name: v.string(),
        state: v.picklist(["verified", "not_asked", "cannot", "lost"]),
        reason: v.nullable(v.string()),
        watched: TALLY,
        synced: TALLY,
        more: count,
        differencesThere: v.nullable(count),
        differencesHere: v.nullable(count),
      })),
      findings: v.array(v.object({
        ...FINDING.entries,
        peer: v.nullable(v.string()),
        repaired: v.boolean(),
        notRepaired: v.nullable(v.string()),
      })),
    }),
  }),
  v.object({ state: v.literal("failed"), message: v.string() }),
]);

/** Reads a fact; `null` when there is none, or one that this version cannot read. */
export function readVerifyFact(fact: unknown): VerifyFact | null {
  const parsed = v.safeParse(FACT, fact);
  return parsed.success ? parsed.output : null;
}
