import assert from "node:assert/strict";
import { readVerifyFact, VERIFY_FACTS } from "../../../src/verify/result.ts";
import { Prng } from "../../simulation/prng.ts";
import { VolatileDatabase } from "../../simulation/volatile_database.ts";
import type { Captures } from "./captures.ts";
import type { WholeFrame } from "./frame_splitter.ts";
import { changedFrame } from "./mutate.ts";
import type { Target } from "./target.ts";
import { TwoPeers } from "./two_peers.ts";

/** What `failed` and `io_error` may say: everything else under these codes is an error that nobody has thought of. */
const KNOWN_FAILURES =
  /is not as it was put here|the trees could not be compared|could not compare its tree| answers: |the peer gave no reason/;
/** How the runtime and the database speak when the program has made a mistake. */
const MISTAKE =
  /undefined|not a function|not iterable|Cannot |Invalid |BigInt|SQL|constraint|datatype|out of range|call stack|detached|NaN|\[object|is not valid JSON/;

/** Two real peers, and between them somebody who changes frames behind the encryption: as bad memory would, or a peer that lies. */
export function peersTarget(captures: Captures): Target {
  const databases = [new VolatileDatabase(), new VolatileDatabase()] as const;
  const others = captures.frames.map(({ bytes }) => bytes);
  return {
    name: "two whole peers",
    share: 0.1,
    mutated: (random) => random.bytes(16),
    read: async (input) => {
      const seed = input.toHex();
      const random = new Prng(seed);
      for (const database of databases) database.restore(null);
      const peers = new TwoPeers("two whole peers", databases);
      const mistakes: string[] = [];
      peers.hub.onArrival = (to, frame) => {
        const mistake = mistakeIn(frame);
        if (mistake !== null) mistakes.push(`told to ${to}: ${mistake}`);
        const rate = frame.bytes.length > 30_000 ? 0.02 : 0.06;
        return random.chance(rate) ? changedFrame(frame, random, others) : frame.bytes;
      };
      try {
        await peers.converse(() => {
          for (const { name, store, process } of [peers.anna, peers.bert]) {
            if (process === null) continue;
            for (const key of store.facts.keys(VERIFY_FACTS)) {
              if (readVerifyFact(store.facts.get(key)) === null) {
                mistakes.push(`${name}: a fact that nobody can read`);
              }
            }
          }
        });
        for (const { name, events } of [peers.anna, peers.bert]) {
          for (const { message } of events) {
            if (MISTAKE.test(message)) mistakes.push(`${name} says: ${message}`);
          }
        }
        assert.deepEqual([...peers.violations, ...mistakes], []);
        assert(peers.hasOwnFile(), "somebody's own file in synced/ is gone");
      } finally {
        peers.end();
      }
    },
  };
}

/** A reply that says that the program did not know what to say. */
function mistakeIn({ header }: WholeFrame): string | null {
  const { status, code, message } = JSON.parse(new TextDecoder().decode(header)) as Record<string, unknown>;
  if (status !== "error" || (code !== "failed" && code !== "io_error")) return null;
  return KNOWN_FAILURES.test(String(message)) ? null : `${code}: ${message}`;
}
