import assert from "node:assert/strict";
import fc from "fast-check";
import { Agenda } from "../../src/watch/agenda.ts";

Deno.test("an agenda gives what is due, in order, whatever was moved or taken off", () => {
  const key = fc.integer({ min: 0, max: 8 });
  const step = fc.oneof(
    fc.record({ do: fc.constant("set" as const), key, at: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ do: fc.constant("setEarlier" as const), key, at: fc.integer({ min: 0, max: 50 }) }),
    fc.record({ do: fc.constant("delete" as const), key, at: fc.constant(0) }),
    fc.record({ do: fc.constant("take" as const), key: fc.constant(0), at: fc.integer({ min: 0, max: 50 }) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const agenda = new Agenda<number>();
    const model = new Map<number, number>();
    for (const { do: what, key, at } of steps) {
      if (what === "set") {
        agenda.set(key, at);
        model.set(key, at);
      } else if (what === "setEarlier") {
        agenda.setEarlier(key, at);
        model.set(key, Math.min(at, model.get(key) ?? Infinity));
      } else if (what === "delete") {
        agenda.delete(key);
        model.delete(key);
      } else {
        const taken = agenda.takeDue(at);
        const expected = [...model].filter(([, due]) => due <= at);
        assert.deepEqual([...taken].sort(), expected.map(([each]) => each).sort());
        const times = taken.map((each) => model.get(each)!);
        assert.deepEqual(times, times.toSorted((a, b) => a - b));
        for (const each of taken) model.delete(each);
      }
      assert.equal(agenda.size, model.size);
      assert.equal(agenda.next(), model.size === 0 ? null : Math.min(...model.values()));
    }
  }));
});
