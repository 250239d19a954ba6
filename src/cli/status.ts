import type { Command } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import { countLeft, type Problem, type RunStatus } from "../domain/status.ts";
import { formatAddress } from "../link/address.ts";
import { heldProblems } from "../send/deletion_guard.ts";
import type { Store } from "../store/store.ts";
import { knownProblems } from "../peer/known_problems.ts";
import { type Config, loadConfig, parseConfig } from "./config.ts";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { healthOf } from "./health.ts";
import type { Home } from "./home.ts";
import { homeFacts } from "./home_facts.ts";
import { currentRun } from "./current_run.ts";
import { FOLDERS_FACT, readFolders } from "./run_fact.ts";
import { statusLines, type StatusReport } from "./status_text.ts";
import { jsonTime, jsonTimeOrNull, quoteForShell } from "./text.ts";

/** Adds `mirrorsync status`. */
export function addStatus(program: Command, action: Action): void {
  program.command("status")
    .summary("show whether it runs, its links, what is pending, what is wrong")
    .description(
      "Shows the state of this peer: whether it runs, its folders, the link to each peer, what is pending, what is not sent " +
        "and why, and what needs you. It works whether the peer runs or not, and never disturbs it.",
    )
    .addHelpText(
      "after",
      helpEnd("mirrorsync status --json", [EXIT.done, EXIT.failed, EXIT.wrongUsage], {
        [EXIT.done]: "the state was shown, whatever it is",
      }),
    )
    .action(action("operator", status));
}

async function status({ home, output }: Context): Promise<number> {
  await home.mustBeInitialised();
  const { config, problem } = await configOrProblem(home.configPath);
  using store = home.openStore();
  const report = await reportOf(home, store, config, problem);
  output.result(report, () => statusLines(report, home, runCommand(home, config, report), output.colours));
  return EXIT.done;
}

/** The state of a home, put together from its database, from what the run wrote of itself, and from a few quick looks. */
export async function reportOf(
  home: Home,
  store: Store,
  config: Config,
  problem: MirrorError | null,
): Promise<StatusReport> {
  const { loadIdentity } = await import("../identity/identity.ts");
  const identity = await loadIdentity(home.directory);
  if (identity === null) throw home.notInitialised();
  const { holder, run } = await currentRun(home, store);
  const report = statusReport(store, {
    home: home.directory,
    name: run?.name ?? config.name ?? identity.name,
    fingerprint: identity.fingerprint,
    holder,
    run,
    folders: readFolders(store.facts.get(FOLDERS_FACT)),
    config,
    problem,
  });
  return { ...report, health: healthOf(report, await homeFacts(home, report, config)) };
}

/** The config; one that cannot be read is a problem among others, and no reason to show nothing. */
export async function configOrProblem(
  file: string,
): Promise<{ readonly config: Config; readonly problem: MirrorError | null }> {
  try {
    return { config: await loadConfig(file), problem: null };
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error;
    return { config: parseConfig("", file), problem: error };
  }
}

/** The command that starts it: with a flag for each folder that the config does not name, as the latest run had it. */
function runCommand(home: Home, config: Config, last: Pick<StatusReport, "watched" | "synced">): string {
  const flags = (["watched", "synced"] as const).map((key) => {
    if (config[key] !== null) return "";
    const folder = last[key];
    return ` --${key} ${folder === null ? "DIR" : quoteForShell(folder)}`;
  });
  return home.command(`run${flags.join("")}`);
}

/** Puts the state together from the database and from what the run wrote of itself. */
function statusReport(
  store: Store,
  known: {
    readonly home: string;
    readonly name: string;
    readonly fingerprint: string;
    /** Who has the lock. */
    readonly holder: { readonly pid: number | null } | null;
    /** What the process that has the lock wrote. */
    readonly run: RunStatus | null;
    /** The folders of the latest run. */
    readonly folders: { readonly watched: string; readonly synced: string } | null;
    readonly config: Config;
    /** What is wrong with the config, if something is. */
    readonly problem: MirrorError | null;
  },
): Omit<StatusReport, "health"> {
  const { run, folders, config, holder } = known;
  const total = { waiting: 0, refused: 0, held: 0, bytes: 0 };
  const peers = store.peers.list().map((peer) => {
    const pending = store.pending.totals(peer.number);
    total.waiting += pending.waiting;
    total.refused += pending.refused;
    total.held += pending.held;
    total.bytes += pending.bytes;
    const live = run?.peers.find((each) => each.fingerprint === peer.fingerprint) ?? null;
    return {
      name: peer.name,
      fingerprint: peer.fingerprint,
      address: peer.address,
      link: live?.link ?? "down" as const,
      protocol: live?.protocol ?? null,
      remoteAddress: live?.remoteAddress ?? null,
      since: jsonTimeOrNull(live?.sinceMs ?? null),
      reason: live === null ? (holder === null ? "mirrorsync is not running here" : null) : live.reason,
      lastSeen: jsonTimeOrNull(peer.lastSeenMs),
      pending,
      clockAheadMs: live?.clockAheadMs ?? null,
      inSync: live === null ? null : live.inSync && countLeft(pending) === 0,
    };
  });
  const { held, ...watchedCount } = store.observed.count();
  return {
    running: holder !== null,
    pid: holder === null ? null : run?.pid ?? holder.pid,
    started: jsonTimeOrNull(run?.startedMs ?? null),
    name: known.name,
    fingerprint: known.fingerprint,
    home: known.home,
    listen: run === null ? (config.listen === null ? null : formatAddress(config.listen)) : run.listen,
    watched: run?.watched ?? config.watched ?? folders?.watched ?? null,
    synced: run?.synced ?? config.synced ?? folders?.synced ?? null,
    counts: { watched: watchedCount, synced: store.synced.count(), held },
    peers,
    pending: total,
    transfers: (run?.transfers ?? []).map(({ startedMs, ...rest }) => ({
      ...rest,
      started: jsonTime(startedMs),
    })),
    limitBytesPerSecond: run?.limitBytesPerSecond ?? null,
    rate: run?.rate ?? { sentPerSecond: 0, receivedPerSecond: 0 },
    total: run?.total ?? null,
    watcher: run?.watcher ?? null,
    scan: {
      running: run?.scan.running ?? false,
      last: jsonTimeOrNull(run?.scan.lastMs ?? null),
      lastTookMs: run?.scan.lastTookMs ?? null,
    },
    trash: trashReport(store),
    skipped: store.skipped.list().map(({ path, reason, message, sinceMs }) => ({
      path,
      reason,
      message,
      since: jsonTime(sinceMs),
    })),
    problems: [
      ...(run?.problems ?? keptProblems(store)).map(({ code, message, sinceMs }) => ({
        code,
        message,
        since: jsonTime(sinceMs),
      })),
      ...(known.problem === null
        ? []
        : [{ code: known.problem.code, message: known.problem.message, since: null }]),
    ],
  };
}

function trashReport(store: Store): StatusReport["trash"] {
  const { oldestMs, ...count } = store.trash.count();
  return { ...count, oldest: jsonTimeOrNull(oldestMs) };
}

/** What could not be read, what verifying has found and what the last run held back, while none is there to say so. */
function keptProblems(store: Store): Problem[] {
  return [...knownProblems(store), ...store.peers.list().flatMap((peer) => heldProblems(store, peer))];
}
