import { strict as assert } from "node:assert";
import { Refusals } from "../../src/peer/refusals.ts";

/** What `status` says: at which second something was last refused that has not come. */
function refusals() {
  let nowMs = 0;
  const all = new Refusals({ now: () => nowMs });
  return {
    all,
    pass: (seconds: number) => nowMs += seconds * 1000,
    second: () => {
      const sinceMs = all.sinceMs();
      return sinceMs === null ? null : sinceMs / 1000;
    },
  };
}

Deno.test("a refusal stands until all that was refused has come", () => {
  const { all, pass, second } = refusals();
  assert.equal(second(), null);
  all.note("anna", "a");
  pass(1);
  all.note("anna", "b");
  all.note("carl", "b");
  assert.equal(second(), 1);
  all.arrived("anna", "something else");
  all.arrived("anna", "a");
  all.arrived("anna", "b");
  assert.equal(second(), 1, "that of another peer has not come");
  all.arrived("carl", "b");
  assert.equal(second(), null);
  all.note("anna", "a");
  assert.equal(second(), 1, "it is refused once more");
});

Deno.test("a refusal stands for a minute at most: what was refused may have been deleted since", () => {
  const { all, pass, second } = refusals();
  all.note("anna", "deleted meanwhile");
  pass(59);
  assert.equal(second(), 0);
  pass(1);
  assert.equal(second(), null);
  all.note("anna", "b");
  all.arrived("anna", "b");
  assert.equal(second(), null, "what is over is not waited for");
});

Deno.test("what was refused without a path, or among too many, stands for its minute", () => {
  for (
    const refuse of [
      (all: Refusals) => all.note("anna", null),
      (all: Refusals) => {
        for (let i = 0; i < 2_000; i++) all.note("anna", `${i}`);
        for (let i = 0; i < 2_000; i++) all.arrived("anna", `${i}`);
      },
    ]
  ) {
    const { all, pass, second } = refusals();
    all.note("anna", "known");
    refuse(all);
    all.arrived("anna", "known");
    assert.equal(second(), 0);
    pass(60);
    assert.equal(second(), null);
  }
});
