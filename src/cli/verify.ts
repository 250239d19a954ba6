import type { Command } from "commander";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Store } from "../store/store.ts";
import {
  isWell,
  readVerifyFact,
  VERIFY_FACTS,
  type VerifyFact,
  type VerifyProgress,
  type VerifyResult,
} from "../verify/result.ts";
import { loadConfig } from "./config.ts";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import { checkFolders } from "./folders.ts";
import type { Home } from "./home.ts";
import { HomeLock, lockHolder } from "./home_lock.ts";
import { lastFolders } from "./last_folders.ts";
import { openScreen, type Screen } from "./screen.ts";
import { StopSignals } from "./stop_signals.ts";
import { progressText, verifyLines } from "./verify_text.ts";

interface Flags {
  readonly repair?: true;
}

/** How often the run's answer is looked for. */
const LOOK_MS = 200;
/** Looks after which it is asked whether the run is still there. */
const LOOKS_FOR_RUN = 10;

/** Adds `mirrorsync verify`. */
export function addVerify(program: Command, action: Action): void {
  program.command("verify")
    .summary("read everything again, on both sides, and find what a disk has lost")
    .description(
      "Reads every file again, here and on each linked peer, and compares it with what is remembered of it. What is damaged " +
        "(other content, although nobody has touched the file) is told by path and range. With --repair just the damaged parts " +
        "are fetched from whichever side is right. A running `run` does the work; without one this side is verified alone. " +
        "What is in the system's memory is read from there, not from the disk.",
    )
    .option("--repair", "fetch what is damaged from the side that is right")
    .addHelpText(
      "after",
      helpEnd(
        "mirrorsync verify\nmirrorsync verify --repair",
        [...Object.values(EXIT)].filter((s) => s !== 4),
        {
          [EXIT.done]: "everything that was read is as it should be, or was repaired",
          [EXIT.failed]:
            "something is damaged, missing or unreadable and was not repaired; or it was not read to the end",
          [EXIT.notReached]:
            "a `run` is going, and a peer could not be asked: it is not linked, or went away",
        },
      ),
    )
    .action(action("operator", verify));
}

async function verify({ home, output }: Context, flags: Flags): Promise<number> {
  await home.mustBeInitialised();
  const repair = flags.repair ?? false;
  using signals = new StopSignals(() => Deno.exit(EXIT.failed));
  let stopped = false;
  signals.asked.then(() => stopped = true);
  using store = home.openStore();
  using progress = new ProgressLine(await openScreen(output));
  const running = await lockHolder(home) !== null;
  if (!running && repair) throw cannotRepair(home);
  const result = running
    ? await askRun(home, store, repair, () => stopped, (p) => progress.show(p))
    : await verifyAlone(home, store, () => stopped, (p) => progress.show(p));
  progress[Symbol.dispose](); // the line is gone before anything else is said
  output.result({ well: isWell(result), ...result }, () => verifyLines(result));
  if (!running) {
    output.hint([`Only this side was read. To verify the peers too:  ${home.command("run")}`]);
  }
  return exitStatus(result, running);
}

function cannotRepair(home: Home): MirrorError {
  const message = "a repair needs the other side, and mirrorsync is not running here: start it with  " +
    `${home.command("run")}  , wait for the link, and repair then`;
  return new MirrorError("unreachable", message);
}

function exitStatus(result: VerifyResult, running: boolean): number {
  const states = result.peers.map(({ state }) => state);
  if (result.repair) {
    if (states.includes("lost") || !states.includes("verified")) return EXIT.notReached;
    if (!isWell(result) && states.some((state) => state !== "verified")) return EXIT.notReached;
  }
  if (!isWell(result)) return EXIT.failed;
  // Somebody who lets this run every night must learn that the mirror was not read.
  const isMissing = states.some((state) => state === "not_asked" || state === "lost");
  return running && isMissing ? EXIT.notReached : EXIT.done;
}

/** Has the running process verify, by a row in the database, and waits for what it says. */
async function askRun(
  home: Home,
  store: Store,
  repair: boolean,
  stopped: () => boolean,
  onProgress: (progress: VerifyProgress) => void,
): Promise<VerifyResult> {
  const key = `${VERIFY_FACTS}${crypto.randomUUID()}`;
  store.facts.set(key, { state: "asked", repair } satisfies VerifyFact);
  try {
    for (let look = 1;; look++) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      const fact = readVerifyFact(store.facts.get(key));
      if (stopped()) throw new MirrorError("failed", "stopped before everything was read");
      if (fact === null) {
        throw new MirrorError("failed", "mirrorsync was started anew meanwhile: verify once more");
      }
      if (fact.state === "done") return fact.result;
      if (fact.state === "failed") throw new MirrorError("failed", `verifying failed: ${fact.message}`);
      if (fact.state === "running") onProgress(fact.progress);
      if (look % LOOKS_FOR_RUN === 0 && await lockHolder(home) === null) {
        throw new MirrorError("failed", "mirrorsync was stopped meanwhile: verify once more");
      }
    }
  } finally {
    // With the row the wish is gone: a run that is still reading stops.
    store.facts.remove(key);
  }
}

/** Verifies this side against the database, holding the home's lock meanwhile. */
async function verifyAlone(
  home: Home,
  store: Store,
  stopped: () => boolean,
  onProgress: (progress: VerifyProgress) => void,
): Promise<VerifyResult> {
  using _lock = await HomeLock.take(home);
  const config = await loadConfig(home.configPath);
  const folders = await checkFolders({ ...lastFolders(home, config, store), home: home.directory });
  const [{ DiskTree }, { SystemClock }, { bytesToRead, readHere }, { ChunkList }] = await Promise.all([
    import("../system/disk_tree.ts"),
    import("../system/system_clock.ts"),
    import("../verify/read_side.ts"),
    import("../chunks/chunk_list.ts"),
  ]);
  const clock = new SystemClock();
  const startedMs = clock.monotonic();
  const ofBytes = bytesToRead(store);
  const peers = store.peers.list();
  const report = await readHere({
    ...{ store, clock, stopped },
    watched: new DiskTree(folders.watched),
    synced: new DiskTree(folders.synced),
    listFor: (hash) => {
      const kept = store.chunkLists.get(hash);
      return Promise.resolve(kept === null ? null : ChunkList.parse(kept));
    },
    onProgress: (done) => onProgress({ stage: "reading", sides: [{ peer: null, ...done, ofBytes }] }),
  }, { peers: peers.map(({ number }) => number), paths: null });
  if (stopped()) throw new MirrorError("failed", "stopped before everything was read");
  const nothing = { files: 0, bytes: 0 };
  return {
    ...{ repair: false, tookMs: Math.round(clock.monotonic() - startedMs), more: report.more },
    ...{ watched: report.watched, synced: report.synced },
    peers: peers.map(({ name }) => ({
      ...{ name, state: "not_asked", reason: "mirrorsync is not running here" } as const,
      ...{ watched: nothing, synced: nothing, more: 0, differencesThere: null, differencesHere: null },
    })),
    findings: report.findings.map((finding) => ({
      ...finding,
      ...{ peer: null, repaired: false, notRepaired: null },
    })),
  };
}

/** One line on a terminal that says how far it has come. */
class ProgressLine implements Disposable {
  readonly #screen: Screen | null;
  #shownMs = 0;

  constructor(screen: Screen | null) {
    this.#screen = screen;
  }

  show(progress: VerifyProgress): void {
    if (this.#screen === null || performance.now() - this.#shownMs < LOOK_MS) return;
    this.#shownMs = performance.now();
    this.#screen(progressText(progress));
  }

  [Symbol.dispose](): void {
    this.#screen?.clear();
  }
}
