import type { Command } from "commander";
import type { Store } from "../store/store.ts";
import type { Config } from "./config.ts";
import type { Action, Context } from "./context.ts";
import { currentRun } from "./current_run.ts";
import {
  certificateChecks,
  folderChecks,
  identityCheck,
  limitChecks,
  peerChecks,
  portCheck,
} from "./doctor_checks.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { type Check, databaseCheck, diskChecks, failed, healthOf, ok, warning } from "./health.ts";
import type { Home } from "./home.ts";
import { homeFacts } from "./home_facts.ts";
import { configOrProblem, reportOf } from "./status.ts";
import { escapeText, padTo } from "./text.ts";

/** Parts that `doctor` looks at more closely than `status` does. */
const LOOKED_AT_CLOSELY: ReadonlySet<string> = new Set(["disk", "database", "link"]);

/** Adds `mirrorsync doctor`. */
export function addDoctor(program: Command, action: Action): void {
  program.command("doctor")
    .summary("check everything that mirroring needs, and say what to do")
    .description(
      "Checks the config, the identity and the peers' certificates, the folders, the room on the disks, the port, the system's " +
        "limits, the database (reading all of it), the watcher, the scans, the clocks, and tries to reach each peer. It changes " +
        "nothing, and works whether `run` runs or not.",
    )
    .addHelpText(
      "after",
      helpEnd("mirrorsync doctor", [EXIT.done, EXIT.failed, EXIT.wrongUsage], {
        [EXIT.done]: "nothing keeps it from mirroring; there may be warnings",
        [EXIT.failed]: "something is wrong: it says what, and what to do",
      }),
    )
    .action(action("operator", doctor));
}

async function doctor({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  const checks: Check[] = [];
  const { config, problem } = await configOrProblem(home.configPath);
  checks.push(
    problem === null
      ? ok("config", `${home.configPath} can be used`)
      : failed("config", problem.message, "mend the file: until then nothing can be started"),
  );
  const identity = await identityCheck(home, Date.now());
  checks.push(identity);
  using store = home.openStore();
  // Without one nothing can run, and nobody be dialled: what is left is the database.
  if (identity.state === "failed") checks.push(integrityCheck(store));
  else checks.push(...await checksOf(home, store, config));
  const well = checks.every(({ state }) => state !== "failed");
  output.result({ well, checks }, () => doctorLines(checks, output.colours));
  return well ? EXIT.done : EXIT.failed;
}

async function checksOf(home: Home, store: Store, config: Config): Promise<Check[]> {
  const { run } = await currentRun(home, store);
  const report = await reportOf(home, store, config, null);
  const facts = await homeFacts(home, report, config);
  return [
    ...await certificateChecks(store, facts.nowMs),
    ...await folderChecks(home, report, run !== null),
    ...diskChecks(report, facts),
    await portCheck(config, run),
    ...await limitChecks(store, report),
    integrityCheck(store),
    databaseCheck(facts),
    ...healthOf(report, facts).filter(({ part }) => !LOOKED_AT_CLOSELY.has(part)),
    ...await peerChecks(home, store, run),
    ...report.problems.map(({ code, message }) =>
      code === "deletion_guard"
        ? warning("guard", message, `if it is meant:  ${home.command("confirm")}`)
        : failed("now", message, `${home.command("status")}  shows whether it goes on`)
    ),
  ];
}

function integrityCheck(store: Store): Check {
  const problems = store.integrityProblems();
  if (problems.length === 0) return ok("database", "all of it could be read, and nothing in it is damaged");
  return failed(
    "database",
    `it is damaged: ${problems.slice(0, 3).join("; ")}`,
    "stop mirrorsync, move mirrorsync.db with its -wal and -shm files away, and pair again: the mirrored files are recognised",
  );
}

const MARKS = { ok: "✓", warning: "!", failed: "✗" } as const;

/** What was found, a line for each, with what to do below it. */
export function doctorLines(checks: readonly Check[], colours: Context["output"]["colours"]): string[] {
  const width = Math.max(...checks.map(({ part }) => part.length));
  const colour = { ok: colours.green, warning: colours.yellow, failed: colours.red };
  const lines = checks.flatMap(({ part, state, found, todo }) => [
    `${colour[state](MARKS[state])} ${padTo(part, width)}  ${escapeText(found)}`,
    ...(todo === null ? [] : [`  ${padTo("", width)}  → ${escapeText(todo)}`]),
  ]);
  const count = (state: Check["state"]) => checks.filter((check) => check.state === state).length;
  const [bad, doubtful] = [count("failed"), count("warning")];
  lines.push(
    "",
    bad + doubtful === 0
      ? colours.green("Everything is well.")
      : `${bad} wrong, ${doubtful} to be looked at, ${count("ok")} well.`,
  );
  return lines;
}
