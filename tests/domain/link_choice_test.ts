import assert from "node:assert/strict";
import { type LinkFacts, linkThatStays } from "../../src/domain/link_choice.ts";

const LOW = "0a".repeat(32), HIGH = "f0".repeat(32);
const link = (diallerFingerprint: string, peerProcess: string): LinkFacts => ({
  diallerFingerprint,
  peerProcess,
});

Deno.test("of two links dialled at once the one dialled by the smaller fingerprint stays, whichever came first", () => {
  assert.equal(linkThatStays(link(LOW, "p"), link(HIGH, "p")), "old");
  assert.equal(linkThatStays(link(HIGH, "p"), link(LOW, "p")), "fresh");
});

Deno.test("a new process replaces the old one's link, whoever dialled", () => {
  for (const old of [LOW, HIGH]) {
    for (const fresh of [LOW, HIGH]) {
      assert.equal(linkThatStays(link(old, "p"), link(fresh, "q")), "fresh");
    }
  }
});

Deno.test("whoever dials again has given up the link it dialled before", () => {
  for (const dialler of [LOW, HIGH]) {
    assert.equal(linkThatStays(link(dialler, "p"), link(dialler, "p")), "fresh");
  }
});

Deno.test("both sides keep the same link, in whatever order they see the two", () => {
  // Two running processes, each of which has dialled the other: a link is known by who dialled it.
  for (const [mine, theirs] of [[LOW, HIGH], [HIGH, LOW]] as const) {
    const kept = new Set<string>();
    for (const process of ["process of one side", "process of the other side"]) {
      for (const [old, fresh] of [[mine, theirs], [theirs, mine]] as const) {
        kept.add(linkThatStays(link(old, process), link(fresh, process)) === "old" ? old : fresh);
      }
    }
    assert.deepEqual([...kept], [LOW]);
  }
});
