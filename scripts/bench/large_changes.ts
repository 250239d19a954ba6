import { showMs } from "../support/text.ts";
import { benchCut } from "./cut.ts";
import { copyScenario, editScenario, renameScenario, unpackScenario } from "./large_scenarios.ts";
import { makeReleaseScenario } from "./release_scenario.ts";
import type { Row, ToolName } from "./report.ts";
import { benchSavesMeanwhile } from "./saves_meanwhile.ts";
import { measureScenario, type Scenario, type ScenarioResults } from "./scenario.ts";
import type { Session } from "./session.ts";

/** The parts that {@linkcode benchLargeChanges} knows. */
export const LARGE_PARTS: readonly string[] = ["f", "g", "h", "i", "j", "k"];

/** A target, and whether MirrorSync reaches it; `rsync` is `null` where rsync was not measured. */
interface Target {
  readonly text: string;
  readonly judge: (own: number, rsync: number | null) => boolean | null;
}

const SHOWN_ONLY: Target = { text: "", judge: () => null };

/** Parts f to k: what large files cost that change, move, are cut off or are in the way. */
export async function benchLargeChanges(
  session: Session,
  parts: ReadonlySet<string>,
  mebibytes: number,
): Promise<void> {
  if (parts.has("f")) {
    await benchScenario(session, "f", editScenario(mebibytes), session.runs, ofRsync(1 / 4), ofRsync(1 / 2));
  }
  if (parts.has("g")) {
    session.say("fetching two releases");
    const release = await session.attempt("two releases", () => makeReleaseScenario(session.folder));
    if (release !== null) await benchScenario(session, "g", release, 1, ofRsync(1 / 2), SHOWN_ONLY);
  }
  if (parts.has("h")) {
    await benchScenario(
      session,
      "h",
      renameScenario(mebibytes),
      session.runs,
      below(100e3, "100 KB"),
      below(1000, "1 s"),
    );
  }
  if (parts.has("i")) await benchCut(session, mebibytes);
  if (parts.has("j")) await benchSavesMeanwhile(session, mebibytes);
  if (parts.has("k")) {
    await benchScenario(session, "k", copyScenario(mebibytes), 0, SHOWN_ONLY, null);
    await benchScenario(session, "k", unpackScenario(mebibytes), 0, SHOWN_ONLY, null);
  }
}

function ofRsync(share: number): Target {
  const name = share === 1 / 4 ? "¼" : "½";
  return { text: `≤ ${name} rsync`, judge: (own, rsync) => rsync === null ? null : own <= rsync * share };
}

function below(limit: number, name: string): Target {
  return { text: `< ${name}`, judge: (own) => own < limit };
}

/** One row for the bytes and, where there is a target for it, one for the time. */
async function benchScenario(
  session: Session,
  part: string,
  scenario: Scenario,
  times: number,
  bytesTarget: Target,
  timeTarget: Target | null,
): Promise<void> {
  const results = await measureScenario(session, scenario, times);
  session.rows.push(toRow(part, `${scenario.title}: bytes`, "B", results, (of) => of.bytes, bytesTarget));
  if (timeTarget === null) return;
  const row = toRow(part, `${scenario.title}: time`, "ms", results, (of) => of.took, timeTarget);
  const spreads = Object.entries(results).filter(([, { all }]) => all.length > 1)
    .map(([name, { all }]) => `${name} ${showMs(Math.min(...all))} to ${showMs(Math.max(...all))}`);
  session.rows.push({ ...row, note: [row.note, ...spreads].filter((text) => text !== "").join(", ") });
}

function toRow(
  part: string,
  what: string,
  unit: Row["unit"],
  results: ScenarioResults,
  pick: (result: NonNullable<ScenarioResults[ToolName]>) => number | null,
  target: Target,
): Row {
  const value = (name: ToolName) => results[name] === undefined ? null : pick(results[name]);
  const [own, rsync] = [value("MirrorSync"), value("rsync")];
  return {
    part,
    what,
    unit,
    MirrorSync: own,
    rsync,
    Syncthing: value("Syncthing"),
    Unison: value("Unison"),
    target: target.text,
    reached: own === null ? null : target.judge(own, rsync),
    note: own === null || rsync === null ? "" : `${(own / rsync).toPrecision(3)}× rsync`,
  };
}
