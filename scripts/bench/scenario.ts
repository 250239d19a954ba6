import { join } from "node:path";
import { median, showBytes, showMs } from "../support/text.ts";
import { arrivalOfTree } from "./arrival_of_tree.ts";
import { countDifferent } from "./count_different.ts";
import type { Change, Mirror } from "./mirror.ts";
import type { ToolName } from "./report.ts";
import type { Session } from "./session.ts";
import { Wire } from "./wire.ts";
import { SET } from "./workload.ts";

/** Where a scenario works, for one mirror. */
export interface Places {
  /** The folder `set` in the watched folder. */
  readonly set: string;
  /** What it becomes on the other side. */
  readonly copy: string;
  /** A folder on the same disk that nobody watches, to prepare things in. */
  readonly aside: string;
}

/** Something that is there first, and what is then done to it. */
export interface Scenario {
  readonly title: string;
  /** Lays out what is there first, in the empty folder `set`. */
  first(set: string, places: Places): Promise<void> | void;
  /** Prepares the change number `index`, which follows those before it. */
  next(places: Places, index: number): Promise<Change> | Change;
}

/** What a scenario's change cost. */
export interface ScenarioResult {
  /** Both directions, of the first change. */
  readonly bytes: number | null;
  /** The median, in milliseconds, and all of them. */
  readonly took: number | null;
  readonly all: readonly number[];
}

export type ScenarioResults = Partial<Record<ToolName, ScenarioResult>>;

/** Measures a scenario with every tool: the bytes of one change, and the times of `times` changes in a run of their own. */
export async function measureScenario(
  session: Session,
  scenario: Scenario,
  times: number,
): Promise<ScenarioResults> {
  const results: ScenarioResults = {};
  for (const name of session.toolNames()) {
    const bytes = await session.attempt(
      `${name}, ${scenario.title}, bytes`,
      () => measureBytes(session, name, scenario),
    );
    if (bytes !== null) session.say(`${name}, ${scenario.title}: ${showBytes(bytes)}`);
    const all = times === 0 ? null : await session.attempt(
      `${name}, ${scenario.title}, time`,
      () => measureTimes(session, name, scenario, times),
    );
    if (all !== null) session.say(`${name}, ${scenario.title}: ${all.map(showMs).join(", ")}`);
    results[name] = { bytes, took: all === null ? null : median(all), all: all ?? [] };
  }
  return results;
}

/** Makes the folder for what is prepared, and says where things are. */
export function placesOf(mirror: Mirror): Places {
  const aside = join(mirror.watched, "..", "aside");
  Deno.mkdirSync(aside, { recursive: true });
  return { set: join(mirror.watched, SET), copy: join(mirror.synced, SET), aside };
}

/** Compares every byte, and asks the tool whether it is done; what is wrong is a problem in the report. */
export async function verify(session: Session, mirror: Mirror, what: string): Promise<void> {
  if (await mirror.settled() === false) {
    session.problem(`${mirror.name}, ${what}: still something pending after everything was there`);
  }
  const { set, copy } = placesOf(mirror);
  const different = countDifferent(set, copy);
  if (different > 0) {
    session.problem(`${mirror.name}, ${what}: ${different} paths missing or with other content`);
  }
}

function measureBytes(session: Session, name: ToolName, scenario: Scenario): Promise<number> {
  const wire = new Wire();
  return session.withMirror(name, wire, async (mirror) => {
    const places = await bringFirst(session, mirror, scenario);
    const change = await scenario.next(places, 0);
    await mirror.rest();
    await wire.quiet();
    const before = wire.bytes;
    await mirror.bring(change);
    await mirror.settled();
    await mirror.rest(); // what it still says about the change afterwards counts too
    await wire.quiet();
    const bytes = wire.bytes - before;
    await verify(session, mirror, change.what);
    return bytes;
  });
}

function measureTimes(
  session: Session,
  name: ToolName,
  scenario: Scenario,
  times: number,
): Promise<number[]> {
  return session.withMirror(name, null, async (mirror) => {
    const places = await bringFirst(session, mirror, scenario);
    const all: number[] = [];
    for (let i = 0; i < times; i++) {
      const change = await scenario.next(places, i);
      await mirror.rest();
      all.push(await mirror.bring(change));
      await verify(session, mirror, change.what);
    }
    return all;
  });
}

async function bringFirst(session: Session, mirror: Mirror, scenario: Scenario): Promise<Places> {
  const places = placesOf(mirror);
  const prepared = join(places.aside, SET);
  Deno.mkdirSync(prepared);
  await scenario.first(prepared, places);
  const what = `what is there before ${scenario.title}`;
  await mirror.bring({
    what,
    make: () => Deno.renameSync(prepared, places.set),
    arrived: arrivalOfTree(prepared, places.copy),
  });
  await verify(session, mirror, what);
  return places;
}
