import assert from "node:assert/strict";
import { eventually } from "../../helpers/eventually.ts";
import { isObject, type JsonObject } from "../../helpers/json.ts";
import type { Pair, Peer } from "../../helpers/program.ts";
import { assertSameTree, exists, mirrorOf, snapshot } from "../../helpers/tree.ts";

/** Confirms deletions that are held because they are so many, as a user would who has made them; tells whether there were any. */
export async function confirmHeld(peer: Peer): Promise<boolean> {
  const [row] = await peer.query("SELECT count(*) AS n FROM pending WHERE state = 'held'");
  if (Number(row?.n) === 0) return false;
  await peer.ok("confirm");
  return true;
}

/**
 * Waits until both, who run and are left in peace, have nothing more to do, and holds them to what that has to look like: each mirror
 * byte for byte its source, with nothing more in it (no conflict copy), nothing in staging, nothing pending, both databases sound.
 */
export async function assertSettled({ a, b }: Pair, deadlineMs = 120_000): Promise<void> {
  const hopeless = () => a.running?.hopeless() ?? b.running?.hopeless() ?? null;
  await eventually("both have settled", async () => {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      await confirmHeld(from);
      for (const hashes of [false, true]) {
        const expected = mirrorOf(await snapshot(from.watched, { hashes }));
        assertSameTree(expected, await snapshot(to.synced, { hashes }), `${to.name}'s mirror`);
      }
    }
    for (const peer of [a, b]) {
      assert.deepEqual(await peer.query("SELECT * FROM pending"), [], `pending at ${peer.name}`);
      const staged = `${peer.synced}/.mirrorsync-staging`;
      const left = await exists(staged) ? [...Deno.readDirSync(staged)].map(({ name }) => name) : [];
      // Where the home is on another disk, the trash is here.
      assert.deepEqual(left.filter((name) => name !== "trash-here"), [], `left in staging at ${peer.name}`);
    }
  }, { deadlineMs, everyMs: 200, hopeless });
  for (const peer of [a, b]) await assertSound(peer);
}

/** The problems that a peer who runs says it has. */
export async function problemsOf(peer: Peer): Promise<JsonObject[]> {
  const [fact] = await peer.query("SELECT value FROM facts WHERE key = 'run'");
  const run: unknown = JSON.parse(String(fact?.value));
  assert.ok(isObject(run) && Array.isArray(run.problems));
  return run.problems.filter(isObject);
}

/** Holds a peer's database to SQLite's own check of it. */
export async function assertSound(peer: Peer): Promise<void> {
  const rows = await peer.query("PRAGMA integrity_check");
  assert.deepEqual(rows.map((row) => ({ ...row })), [{ integrity_check: "ok" }], `database of ${peer.name}`);
}

/** Waits until a peer says that it has no problem. */
export async function assertNoProblems(peer: Peer): Promise<void> {
  await eventually(`${peer.name} has no problem`, async () => assert.deepEqual(await problemsOf(peer), []));
}
