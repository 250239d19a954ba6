import assert from "node:assert/strict";
import { beginTry, endTry, OVERALL, PER_NAME, waitMs } from "../../src/auth/throttle.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { Store } from "../../src/store/store.ts";
import { tempFolder } from "../receive/support.ts";

const START = Date.UTC(2026, 10, 22);

/** Whether a try may be made. */
function tries(store: Store, name: string, nowMs: number): boolean {
  try {
    beginTry(store, name, nowMs);
    return true;
  } catch (error) {
    if (error instanceof MirrorError && error.code === "login_throttled") return false;
    throw error;
  }
}

Deno.test("throttle: the first tries are free, then each waits twice as long, up to a bound", () => {
  const waits = Array.from(
    { length: 20 },
    (_, failures) => waitMs({ failures, lastMs: START }, START, PER_NAME),
  );
  assert.deepEqual(waits.slice(0, 7), [0, 0, 0, 1000, 2000, 4000, 8000]);
  assert.equal(waits.at(-1), PER_NAME.maxWaitMs);
  assert.equal(waitMs({ failures: 9, lastMs: START }, START + PER_NAME.forgetMs, PER_NAME), 0);
  const future = { failures: 9, lastMs: START + 365 * 86_400_000 };
  assert.equal(waitMs(future, START, PER_NAME), 64_000, "a clock that was set back locks nobody out");
});

Deno.test("throttle: processes that guess side by side have no more tries than one alone", async () => {
  await using temp = await tempFolder();
  const file = `${temp.path}/db`;
  using one = new Store(file);
  using two = new Store(file);
  const made = Array.from(
    { length: 50 },
    (_, i) => tries(i % 2 === 0 ? one : two, i % 3 === 0 ? "anna" : "ANNA", START),
  );
  assert.equal(made.filter(Boolean).length, PER_NAME.free);
  assert.equal(tries(two, "anna", START + 999), false);
  assert.equal(tries(two, "anna", START + 1000), true);
  assert.equal(tries(one, "anna", START + 2999), false, "the fifth waits two seconds");
  using later = new Store(file);
  assert.equal(tries(later, "anna", START + 2999), false, "another process, later, knows of it");
});

Deno.test("throttle: taking turns with many names is slowed down too, and fills no table", () => {
  using store = new Store(":memory:");
  const names = Array.from({ length: 3000 }, (_, i) => `name-${i}`);
  const made = names.filter((name) => tries(store, name, START)).length;
  assert.equal(made, OVERALL.free);
  let nowMs = START;
  for (const name of names) tries(store, name, nowMs += OVERALL.maxWaitMs);
  assert.equal(store.loginFailures.get("name-0"), null, "the oldest names are forgotten");
  assert.notEqual(store.loginFailures.get(names.at(-1)!), null);
  assert.equal(
    tries(store, "anna", nowMs + OVERALL.maxWaitMs),
    true,
    "the owner waits half a minute at most",
  );
});

Deno.test("throttle: the right password takes back its own try, not those of others", () => {
  using store = new Store(":memory:");
  for (let i = 0; i < 2; i++) tries(store, "anna", START);
  for (let i = 0; i < 3; i++) tries(store, "bert", START);
  tries(store, "anna", START);
  endTry(store, "Anna");
  assert.equal(tries(store, "anna", START), true);
  assert.equal(tries(store, "bert", START), false);
});
