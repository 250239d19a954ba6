import type { Command } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import { type Address, FileError } from "../domain/ports.ts";
import { HOME_TRASH } from "../domain/relative_path.ts";
import { countLeft, type RunStatus } from "../domain/status.ts";
import type { Refusal } from "../link/tls_listener.ts";
import type { IdentityKeeper } from "../identity/identity_keeper.ts";
import type { OnceResult } from "../peer/once.ts";
import type { PeerParts, RunningPeer } from "../peer/peer.ts";
import type { Settings } from "../peer/settings.ts";
import type { Store } from "../store/store.ts";
import { MemoryKeeper } from "../system/memory_keeper.ts";
import { loadConfig } from "./config.ts";
import {
  type Action,
  addressFlag,
  byteRateFlag,
  byteSizeFlag,
  type Context,
  peerAddressFlag,
} from "./context.ts";
import { openNotifications } from "./desktop_notices.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { chosenFolders } from "./chosen_folders.ts";
import type { Folders } from "./folders.ts";
import type { Home } from "./home.ts";
import { HomeLock } from "./home_lock.ts";
import { initialise } from "./initialise.ts";
import { defaultListenAddress } from "./listen_address.ts";
import { onceReport } from "./once_text.ts";
import type { Output } from "./output.ts";
import { tellOwnDates } from "./own_dates.ts";
import { pairingSteps } from "./pairing.ts";
import { reportError } from "./report_error.ts";
import { FOLDERS_FACT } from "./run_fact.ts";
import { makeReporter } from "./reporter.ts";
import { noteSettings } from "./settings_audit.ts";
import { StopSignals } from "./stop_signals.ts";
import { jsonTime, showPath } from "./text.ts";

interface Flags {
  readonly watched?: string;
  readonly synced?: string;
  readonly listen?: Address;
  readonly peer?: Address;
  readonly once?: true;
  /** `none`: whatever the config says. */
  readonly limit?: number | "none";
  readonly quota?: number | "none";
  readonly notify?: boolean;
  readonly trash?: boolean;
}

/** Adds `mirrorsync run`. */
export function addRun(program: Command, action: Action): void {
  program.command("run")
    .summary("mirror, until it is stopped")
    .description(
      "Sends what changes in the watched folder to every trusted peer, and mirrors what they send into the synced folder. " +
        "Ends cleanly on Ctrl-C, SIGTERM and Ctrl-Break. On a fresh home it does what `init` does first. What the flags do " +
        "not say, mirrorsync.toml in the home does.",
    )
    .option("--watched <dir>", "the folder that is sent")
    .option("--synced <dir>", "the folder that mirrors the peer's watched folder")
    .option("--listen <host:port>", "where to listen (default: port 22600 on every address)", addressFlag)
    .option(
      "--peer <host:port>",
      "an address to dial, besides those of `peer add --address`",
      peerAddressFlag,
    )
    .option(
      "--limit <rate>",
      "send no faster than this, and receive no faster: 2MB/s, 500KB/s, 1.5MiB/s, a number of bytes a second; 0 or none: no limit",
      byteRateFlag,
    )
    .option(
      "--quota <size>",
      "how much each peer may have in the synced folder: 20GB, 500MB, 1.5GiB, a number of bytes; 0 or none: no quota",
      byteSizeFlag,
    )
    .option(
      "--notify",
      "show on the desktop what needs you: conflicts, held deletions, a full disk, a peer that is away for long",
    )
    .option("--no-notify", "do not, whatever mirrorsync.toml says")
    .option("--trash", "keep what a peer deletes or replaces in the trash of this home (the default)")
    .option("--no-trash", "do not: what a peer deletes or replaces is gone")
    .option("--once", "dial for up to 30 s, end when neither side can get any further")
    .addHelpText(
      "after",
      helpEnd("mirrorsync run --watched ~/Mirror --synced ~/FromDesktop", Object.values(EXIT), {
        [EXIT.done]: "ended as it was asked to; with --once: everything was delivered",
        [EXIT.failed]: "failed; with --once: something is left, `mirrorsync pending` says what and why",
        [EXIT.noSuchPeer]: "with --once: no peer is trusted",
        [EXIT.notReached]: "with --once: no peer could be reached",
      }),
    )
    .action(action("operator", run));
}

async function run({ home, output, actor }: Context, flags: Flags): Promise<number> {
  using signals = new StopSignals(() => Deno.exit(EXIT.failed));
  const { identity, made } = await initialise(home, { name: null, listen: null });
  if (made.length > 0) output.hint([`Made ${made.join(", ")} in ${home.directory}.`]);
  const config = await loadConfig(home.configPath);
  const folders = await chosenFolders(home, flags, config);
  using _lock = await HomeLock.take(home);
  using store = home.openStore();
  noteSettings(store, config, actor, Date.now());
  using reporter = await makeReporter(output, Date.now);
  const name = config.name ?? identity.name;
  tellOwnDates(identity, Date.now(), (event) => reporter.tell(event));
  if (store.peers.list().length === 0) {
    const message = `no peer is trusted yet: ${home.command("invite")}`;
    if (flags.once) throw new MirrorError("not_trusted", message);
    reporter.tell({ kind: "problem", level: "warning", message });
    output.hint([...pairingSteps(home), "It takes effect at once, nothing has to be started again."]);
  }
  const notices = flags.notify ?? config.notify ? await openNotifications(store, reporter) : null;
  using _memory = new MemoryKeeper();
  using _crashes = endOnCrash((error) => {
    reporter[Symbol.dispose]();
    Deno.exit(reportError(error, output));
  });
  const peer = await start({
    name,
    keeper: await openKeeper(home),
    store,
    folders,
    trashPath: home.trashPath,
    settings: chosenSettings(config.settings, flags),
    listen: flags.listen ?? config.listen ?? await defaultListenAddress(),
    dial: flags.peer ?? config.peer,
    once: flags.once ?? false,
    onEvent: (event) => {
      reporter.tell(event);
      notices?.tell(event);
    },
  });
  store.facts.set(FOLDERS_FACT, folders); // for `status` when nothing runs
  let result: OnceResult | null;
  let signal: Deno.Signal | null = null;
  let last: RunStatus;
  try {
    reporter.follow(() => peer.status());
    notices?.follow(() => peer.status());
    result = await Promise.race([signals.asked.then((asked) => (signal = asked, null)), peer.finished]);
    last = peer.status();
    await notices?.end();
  } finally {
    reporter[Symbol.dispose](); // the live line is gone before anything else is said
    await peer.stop();
  }
  if (result === null && flags.once) result = interrupted(last, signal!);
  return result === null ? EXIT.done : tellOnce(result, last, store, output, home);
}

/** A run with `--once` that was ended before it was done: whoever started it must not take it for one that was. */
function interrupted({ peers }: RunStatus, signal: Deno.Signal): OnceResult {
  const left = peers.reduce((sum, { pending }) => sum + countLeft(pending), 0);
  return { reached: true, left, problem: `it was ended by ${signal}` };
}

/** @throws {MirrorError} `bad_folder` when something in one of the folders keeps it from starting. */
async function startOrTell<T>({ watched, synced }: Folders, begin: () => Promise<T>): Promise<T> {
  try {
    return await begin();
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    const message =
      `watched (${showPath(watched)}) or synced (${
        showPath(synced)
      }) cannot be used: ${error.message}. Give this user ` +
      "the right to read the one and to write into the other";
    throw new MirrorError("bad_folder", message, { cause: error });
  }
}

async function openKeeper(home: Home): Promise<IdentityKeeper> {
  const { IdentityKeeper } = await import("../identity/identity_keeper.ts");
  return await IdentityKeeper.open(home.directory);
}

/** Builds the peer out of the real system. Its rooms are loaded here: no other command needs them. */
async function start(
  known:
    & Pick<PeerParts, "name" | "keeper" | "store" | "settings" | "listen" | "dial" | "once" | "onEvent">
    & { readonly folders: Folders; readonly trashPath: string },
): Promise<RunningPeer> {
  const [
    { startPeer },
    { RefusalLog },
    { TlsNetwork },
    { DiskTree },
    { SystemClock },
    { SystemRandom },
  ] = await Promise.all([
    import("../peer/peer.ts"),
    import("../peer/refusal_log.ts"),
    import("../link/tls_network.ts"),
    import("../system/disk_tree.ts"),
    import("../system/system_clock.ts"),
    import("../system/system_random.ts"),
  ]);
  const { folders, trashPath, ...parts } = known;
  const clock = new SystemClock();
  const limit = parts.settings.limitBytesPerSecond;
  const { store } = parts;
  const refusals = new RefusalLog(
    store,
    clock,
    (message) => parts.onEvent({ kind: "problem", level: "warning", message }),
  );
  const onRefused = (refusal: Refusal) => refusals.note(refusal);
  const running = await startOrTell(folders, () =>
    startPeer({
      ...parts,
      pid: Deno.pid,
      system: Deno.build.os === "windows" ? "windows" : "unix",
      watched: new DiskTree(folders.watched),
      synced: new DiskTree(folders.synced, { path: HOME_TRASH, at: trashPath }),
      network: new TlsNetwork({
        ...{ clock, limit, onRefused },
        identity: () => parts.keeper.current,
        trusted: () => store.peers.pinned(),
      }),
      clock,
      random: new SystemRandom(),
    }));
  const stop = async () => {
    await running.stop();
    refusals[Symbol.dispose]();
  };
  return { status: () => running.status(), finished: running.finished, stop };
}

/** Hands over an error that nobody caught, instead of the runtime's stack trace on the user's terminal. */
function endOnCrash(crash: (error: unknown) => void): Disposable {
  const rejected = (event: PromiseRejectionEvent) => (event.preventDefault(), crash(event.reason));
  const thrown = (event: ErrorEvent) => (event.preventDefault(), crash(event.error));
  globalThis.addEventListener("unhandledrejection", rejected);
  globalThis.addEventListener("error", thrown);
  return {
    [Symbol.dispose]: () => {
      globalThis.removeEventListener("unhandledrejection", rejected);
      globalThis.removeEventListener("error", thrown);
    },
  };
}

/** The config's settings, with what the flags say instead. */
function chosenSettings(settings: Settings, { limit, quota, trash }: Flags): Settings {
  const chosen = (flag: number | "none" | undefined, said: number | null) =>
    flag === undefined ? said : flag === "none" ? null : flag;
  return {
    ...settings,
    limitBytesPerSecond: chosen(limit, settings.limitBytesPerSecond),
    quotaBytes: chosen(quota, settings.quotaBytes),
    trash: trash ?? settings.trash,
  };
}

/** Says how a run with `--once` ended; the exit status. */
function tellOnce(result: OnceResult, last: RunStatus, store: Store, output: Output, home: Home): number {
  const isDone = result.left === 0 && result.problem === null;
  const status = !result.reached ? EXIT.notReached : isDone ? EXIT.done : EXIT.failed;
  const rows = store.peers.list().flatMap((peer) =>
    store.pending.list(peer.number, 5).map((pending) => ({ peer: peer.name, pending }))
  );
  const lines = onceReport(result, last, rows, home);
  if (output.json) {
    output.jsonLine({
      at: jsonTime(Date.now()),
      kind: "finished",
      level: status === EXIT.done ? "info" : "warning",
      message: lines.map((line) => line.trim()).join(" "),
      path: null,
      peer: null,
      reached: result.reached,
      left: result.left,
    });
  }
  if (status === EXIT.done) output.hint(lines);
  else lines.forEach((line, i) => output.line(i === 0 ? `mirrorsync: ${line}` : line));
  return status;
}
