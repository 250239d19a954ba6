import type { Command } from "commander";
import type { Actor } from "../auth/auth.ts";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { ServiceManager, ServiceSpec, ServiceState } from "../service/manager.ts";
import type { Store } from "../store/store.ts";
import { chosenFolders } from "./chosen_folders.ts";
import { loadConfig } from "./config.ts";
import type { Action, Context, OpenContext } from "./context.ts";
import { currentRun } from "./current_run.ts";
import { examplesEnd, EXIT, helpEnd } from "./exit_status.ts";
import { checkFolders } from "./folders.ts";
import { Home } from "./home.ts";
import { FOLDERS_FACT, readFolders } from "./run_fact.ts";
import { type ShownStep, stepJson, stepLines } from "./service_text.ts";
import { forgetServiceToken, renewServiceToken, whyNotLetIn } from "./service_token.ts";

interface InstallFlags {
  readonly watched?: string;
  readonly synced?: string;
  readonly notify?: true;
  readonly replace?: true;
  readonly dryRun?: true;
}

interface UninstallFlags {
  readonly dryRun?: true;
}

/** How long a service that was just started has to take the home's lock. */
const COME_UP_MS = 15_000;
const LOOK_EVERY_MS = 100;

/** Adds `mirrorsync service install|uninstall|status`. */
export function addService(program: Command, action: Action): void {
  const service = program.command("service")
    .summary("have it run by itself, whenever you are logged in")
    .description(
      "Has `mirrorsync run` start by itself when you log in, as you, and start again when it fails: by a user unit of systemd on " +
        "Linux, an agent of launchd on macOS, a scheduled task without a window on Windows. One of them for each user.",
    )
    .addHelpText(
      "after",
      examplesEnd(
        "mirrorsync service install --watched ~/Mirror --synced ~/FromDesktop\nmirrorsync service status\nmirrorsync service uninstall",
      ),
    );
  service.command("install")
    .summary("install it and start it")
    .description(
      "Installs the service for this home and starts it. Folders that are not given are those in mirrorsync.toml; all other " +
        "settings of `run` come from there too. In a home with users it makes the token `service`, with the role operator and " +
        "without an end, and keeps it in the home, readable for you alone.",
    )
    .option("--watched <dir>", "the folder that is sent")
    .option("--synced <dir>", "the folder that mirrors the peer's watched folder")
    .option("--notify", "have it show on the desktop what needs you")
    .option("--replace", "in place of a service that is installed already and is another one")
    .option("--dry-run", "only print what would be done")
    .addHelpText(
      "after",
      helpEnd(
        "mirrorsync service install --watched ~/Mirror --synced ~/FromDesktop\nmirrorsync service install --dry-run",
        [EXIT.done, EXIT.failed, EXIT.wrongUsage, EXIT.homeInUse],
        { [EXIT.done]: "it is installed and runs" },
      ),
    )
    .action(action("admin", install));
  service.command("uninstall")
    .summary("stop it and remove it")
    .description(
      "Stops the service and removes it, with its token. The home and the folders stay as they are.",
    )
    .option("--dry-run", "only print what would be done")
    .addHelpText("after", helpEnd("mirrorsync service uninstall", [EXIT.done, EXIT.failed, EXIT.wrongUsage]))
    .action(action("admin", uninstall));
  service.command("status")
    .summary("show whether it is installed and runs")
    .description("Shows whether the service is installed and runs, and how it ended when it does not.")
    .addHelpText(
      "after",
      helpEnd("mirrorsync service status --json", [EXIT.done, EXIT.failed, EXIT.wrongUsage], {
        [EXIT.done]: "the state was shown, whatever it is",
      }),
    )
    .action(action("operator", status));
}

async function managerFor({ home, env }: OpenContext): Promise<ServiceManager> {
  const { serviceManager } = await import("../service/this_system.ts");
  const uid = Deno.build.os === "windows" ? null : Deno.uid();
  return serviceManager({ os: Deno.build.os, env, uid }, home.directory);
}

async function install(context: Context, flags: InstallFlags): Promise<number> {
  const { home, output, program, actor } = context;
  await home.mustBeInitialised();
  const folders = await chosenFolders(home, flags, await loadConfig(home.configPath));
  const manager = await managerFor(context);
  using store = home.openStore();
  const withToken = actor.kind !== "owner";
  const spec: ServiceSpec = {
    home: home.directory,
    command: [
      ...program.command,
      ...["--home", home.directory],
      ...(withToken ? ["--token-file", home.serviceTokenPath] : []),
      ...["run", "--watched", folders.watched, "--synced", folders.synced],
      ...(flags.notify ? ["--notify"] : []),
    ],
  };
  const steps = manager.install(spec);
  const shown: ShownStep[] = [
    ...(withToken ? [{ kind: "token" as const, path: home.serviceTokenPath }] : []),
    ...steps,
  ];
  if (flags.dryRun) {
    output.result({ kind: manager.kind, steps: shown.map(stepJson) }, () => shown.flatMap(stepLines));
    return EXIT.done;
  }
  const { carryOut, runProgram } = await import("../service/carry_out.ts");
  const before = await manager.state(runProgram);
  await mayInstall(context, manager, spec, before, store, flags.replace ?? false);
  if (withToken) await renewServiceToken(home, store, actor);
  await carryOut(steps, runProgram);
  const pid = await comesUp(home, store, before.pid);
  output.done({ kind: manager.kind, path: manager.path, running: pid !== null, pid }, () => [
    `Installed as a ${manager.kind}: ${manager.path}`,
    ...(pid === null ? [] : [`It runs${pid === 0 ? "" : ` (process ${pid})`}.`]),
  ]);
  output.hint(manager.hints);
  if (pid !== null) return EXIT.done;
  throw new MirrorError(
    "failed",
    `it is installed, but did not come up within ${COME_UP_MS / 1000} s. ${await whyNot(
      home,
      store,
    )}To see it fail:  ${home.command("run")}`,
  );
}

/**
 * Refuses to install over what is somebody else's: another service, or a `run` that was started by hand.
 *
 * @throws {MirrorError} `failed`, `home_in_use`.
 */
async function mayInstall(
  { home }: Context,
  manager: ServiceManager,
  spec: ServiceSpec,
  { installed, running, pid }: ServiceState,
  store: Store,
  replace: boolean,
): Promise<void> {
  const there = await readText(manager.path);
  const other = there === null ? installed : decodeDefinition(there) !== manager.definition(spec);
  if (other && !replace) {
    const elsewhere = otherHome(home, manager, there);
    const which = elsewhere === null
      ? "with other folders, flags or another program"
      : `that of another home, ${elsewhere}`;
    const remove = elsewhere === null ? home.command("service uninstall") : uninstallOf(elsewhere);
    throw new MirrorError(
      "failed",
      `a service is installed already, and it is another one, ${which} (${manager.path}): add --replace, or remove it with  ${remove}`,
    );
  }
  const { holder } = await currentRun(home, store);
  if (holder === null) return;
  if (running && (pid === null || holder.pid === null || pid === holder.pid)) return;
  throw new MirrorError(
    "home_in_use",
    `a mirrorsync runs on this home already${
      holder.pid === null ? "" : ` (process ${holder.pid})`
    }, and the service would be a second: stop that one first`,
  );
}

/** Waits until the service holds the home's lock; its process id, 0 when that is not known, `null` when it does not come. */
async function comesUp(home: Home, store: Store, before: number | null): Promise<number | null> {
  for (const end = Date.now() + COME_UP_MS; Date.now() < end;) {
    const { holder, run } = await currentRun(home, store);
    const isOther = before === null || holder?.pid !== before;
    if (holder !== null && run !== null && isOther) return holder.pid ?? 0;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  return null;
}

async function uninstall(context: Context, flags: UninstallFlags): Promise<number> {
  const { home, output, actor } = context;
  const manager = await managerFor(context);
  const steps = manager.uninstall();
  if (flags.dryRun) {
    output.result({ kind: manager.kind, steps: steps.map(stepJson) }, () => steps.flatMap(stepLines));
    return EXIT.done;
  }
  const { carryOut, runProgram } = await import("../service/carry_out.ts");
  const { installed } = await manager.state(runProgram);
  const there = await readText(manager.path);
  const elsewhere = otherHome(home, manager, there);
  if (elsewhere !== null) {
    throw new MirrorError(
      "failed",
      `the service that is installed is that of another home, ${elsewhere}: to remove it,  ${
        uninstallOf(elsewhere)
      }`,
    );
  }
  if (installed || there !== null) {
    await carryOut(steps, runProgram);
    if ((await manager.state(runProgram)).installed) {
      throw new MirrorError(
        "failed",
        `the ${manager.kind} is still there: another user, or an administrator, may have installed it`,
      );
    }
  }
  await forgetToken(home, actor);
  const removed = installed || there !== null;
  output.done({ removed, path: manager.path }, () => [
    removed ? `Removed the ${manager.kind} ${manager.path}.` : "No service was installed.",
  ]);
  return EXIT.done;
}

async function forgetToken(home: Home, actor: Actor): Promise<void> {
  if (!await home.isInitialised()) return;
  using store = home.openStore();
  await forgetServiceToken(home, store, actor);
}

async function status(context: Context): Promise<number> {
  const { home, output } = context;
  const manager = await managerFor(context);
  const { runProgram } = await import("../service/carry_out.ts");
  const { installed, running, pid, lastEnd } = await manager.state(runProgram);
  const there = installed ? await readText(manager.path) : null;
  const elsewhere = otherHome(home, manager, there);
  const problem = installed && !running && elsewhere === null ? await whyNotAt(home) : "";
  output.result(
    {
      ...{ kind: manager.kind, path: manager.path, installed, running, pid, lastEnd },
      ...{ home: installed ? elsewhere ?? home.directory : null, problem: problem || null },
    },
    () => {
      if (!installed) return [`No service is installed. To install one:  ${home.command("service install")}`];
      const lines = [
        `Installed as a ${manager.kind}: ${manager.path}`,
        ...(elsewhere === null ? [] : [`It is the service of another home: ${elsewhere}`]),
      ];
      if (running) return [...lines, `It runs${pid === null ? "" : ` (process ${pid})`}.`];
      return [
        ...lines,
        `It does not run${lastEnd === null ? "" : `: ${lastEnd}`}.${problem === "" ? "" : ` ${problem}`}`,
      ];
    },
  );
  if (installed) output.hint(manager.hints);
  return EXIT.done;
}

/** The other home that the installed definition is for; `null` when it is for this one, or cannot be told. */
function otherHome(
  { directory }: Home,
  manager: ServiceManager,
  installed: Uint8Array | null,
): string | null {
  const found = installed === null ? null : manager.homeIn(decodeDefinition(installed));
  return found === directory ? null : found;
}

function uninstallOf(directory: string): string {
  return new Home(directory, false).command("service uninstall");
}

async function whyNotAt(home: Home): Promise<string> {
  if (!await home.isInitialised()) return `${home.notInitialised().message}. `;
  using store = home.openStore();
  return await whyNot(home, store);
}

/** What is seen to be wrong with the token, the folders of the latest run, or the config; `""` when nothing is. */
async function whyNot(home: Home, store: Store): Promise<string> {
  try {
    const shut = await whyNotLetIn(home, store);
    if (shut !== null) return `${shut}. `;
    const config = await loadConfig(home.configPath);
    const folders = readFolders(store.facts.get(FOLDERS_FACT));
    const { watched, synced } = { watched: config.watched, synced: config.synced, ...folders };
    if (watched !== null && synced !== null) await checkFolders({ watched, synced, home: home.directory });
    return "";
  } catch (error) {
    return `${messageOf(error)}. `;
  }
}

async function readText(path: string): Promise<Uint8Array | null> {
  try {
    return await Deno.readFile(path);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.NotADirectory) return null;
    throw new MirrorError("failed", `${path} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** A definition as it lies on the disk: UTF-16 with a mark on Windows, UTF-8 elsewhere. */
function decodeDefinition(bytes: Uint8Array): string {
  const utf16 = bytes[0] === 0xff && bytes[1] === 0xfe;
  return new TextDecoder(utf16 ? "utf-16le" : "utf-8").decode(bytes).replaceAll("\r\n", "\n");
}
