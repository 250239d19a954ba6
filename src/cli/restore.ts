import { relative, resolve, sep } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import { HOME_TRASH, joinPath, nameOf, parseRelativePath } from "../domain/relative_path.ts";
import type { RestoredFile } from "../receive/restore.ts";
import { localNote } from "../store/log.ts";
import type { Store } from "../store/store.ts";
import type { Trashed } from "../store/trash.ts";
import { loadConfig } from "./config.ts";
import type { Action, Context } from "./context.ts";
import { EXIT, helpEnd } from "./exit_status.ts";
import type { Home } from "./home.ts";
import { lastFolders } from "./last_folders.ts";
import { escapeText, jsonTime, plural, showBytes, showPath, showTime } from "./text.ts";
import { parseTime, TIME_RULE } from "./time_flag.ts";

interface Flags {
  /** Milliseconds of UTC. */
  readonly at?: number;
  readonly to?: string;
}

/** How many files that could not be restored are named. */
const SHOWN_FAILURES = 10;
/** How many times of versions are named when there is none of the time that was asked for. */
const SHOWN_TIMES = 5;

/** Adds `mirrorsync restore`. */
export function addRestore(program: Command, action: Action): void {
  program.command("restore")
    .argument("[path]", "a file or folder as it was named in the synced folder; without it: everything")
    .summary("bring back what a peer has deleted or replaced")
    .description(
      "Copies a file, or a folder with all that was in it, out of the trash: the version of a time, or the one that went last. " +
        "The synced folder belongs to the peer, who would take away again what is put in its place there; so the copy goes " +
        "beside it under a name of its own (report.restored-20261122-100000.txt), belongs to nobody and is left alone, or goes " +
        "to the folder that --to names. Nothing is ever replaced. A running `run` is not disturbed.",
    )
    .option("--at <time>", `the version that was there at a time: ${TIME_RULE}`, timeFlag)
    .option("--to <dir>", "where to; it is made if it is not there")
    .addHelpText(
      "after",
      helpEnd(
        "mirrorsync restore docs/report.txt\nmirrorsync restore docs --at '2026-11-22 14:30' --to ~/Rescued",
        [EXIT.done, EXIT.failed, EXIT.wrongUsage],
        { [EXIT.failed]: "the trash holds nothing of it, or not everything could be restored" },
      ),
    )
    .action(action("operator", restore));
}

function timeFlag(text: string): number {
  try {
    return parseTime(text, Date.now());
  } catch (error) {
    throw new InvalidArgumentError(`${messageOf(error)}. It must be ${TIME_RULE}.`);
  }
}

async function restore({ home, output }: Context, asked: string | undefined, flags: Flags): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const folders = lastFolders(home, await loadConfig(home.configPath), store);
  const path = asked === undefined ? "" : pathInSynced(asked, folders.synced);
  const atMs = flags.at ?? null;
  const [{ DiskTree }, { SystemClock }, { chooseVersions, freeRestoredPath, restoreVersions }] = await Promise
    .all([
      import("../system/disk_tree.ts"),
      import("../system/system_clock.ts"),
      import("../receive/restore.ts"),
    ]);
  const versions = chooseVersions(store.trash.of(path), atMs);
  if (versions.length === 0) throw nothingOf(path, atMs, store, home);
  const clock = new SystemClock();
  const synced = new DiskTree(folders.synced, { path: HOME_TRASH, at: home.trashPath });
  let tree = synced;
  let base: string;
  if (flags.to === undefined) {
    base = await freeRestoredPath(synced, path === "" ? "everything" : path, clock.now());
  } else {
    tree = new DiskTree(await madeFolder(flags.to));
    const wanted = nameOf(path);
    const isFree = wanted === "" || await tree.lstat(wanted) === null;
    base = isFree ? wanted : await freeRestoredPath(tree, wanted, clock.now());
  }
  const placeOf = (version: Trashed) => {
    const below = version.path.slice(path === "" ? 0 : path.length + 1);
    return below === "" ? base : joinPath(base, below);
  };
  const restored = await restoreVersions({ trash: synced, to: tree, clock }, versions, placeOf);
  return tell({ home, output }, store, resolve(tree.root, base), restored, flags.to === undefined);
}

/** A path of `synced/`, however it was given: as `trash list` shows it, or where it was on the disk. */
function pathInSynced(asked: string, synced: string): string {
  const inside = relative(synced, resolve(asked));
  const onDisk = asked.startsWith("/") || asked.startsWith(".") || asked.startsWith(synced);
  if (onDisk && (inside === ".." || inside.startsWith(`..${sep}`))) {
    throw new MirrorError(
      "wrong_usage",
      `${showPath(asked)} is not in the synced folder ${
        showPath(synced)
      }: name what was in it, as \`trash list\` does ` +
        "(a path that begins with . or / is one of the disk)",
    );
  }
  const path = (onDisk ? inside.replaceAll(sep, "/") : asked).replace(/\/+$/, "").normalize("NFC");
  if (path === "" && onDisk) return "";
  try {
    return parseRelativePath(path);
  } catch (error) {
    throw new MirrorError("wrong_usage", messageOf(error), { cause: error });
  }
}

async function madeFolder(path: string): Promise<string> {
  if (path === "") throw new MirrorError("wrong_usage", "--to needs a folder: it was given an empty text");
  const folder = resolve(path);
  try {
    await Deno.mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new MirrorError("bad_folder", `${showPath(folder)} cannot be made: ${messageOf(cause)}`, { cause });
  }
  return folder;
}

function nothingOf(path: string, atMs: number | null, store: Store, home: Home): MirrorError {
  const what = path === "" ? "nothing" : `nothing of ${showPath(path)}`;
  const all = store.trash.of(path);
  if (atMs === null || all.length === 0) {
    return new MirrorError(
      "failed",
      `the trash holds ${what}: ${home.command("trash list")}  shows what it holds`,
    );
  }
  const times = all.slice(-SHOWN_TIMES).map(({ placedMs, trashedMs }) =>
    `${placedMs === 0 ? "?" : showTime(placedMs)} to ${showTime(trashedMs)}`
  );
  return new MirrorError(
    "failed",
    `the trash holds ${what} that was there at ${
      showTime(atMs)
    }: it may be there still, or was not there yet. ` +
      `What it holds was there from ${[...new Set(times)].join(", from ")}`,
  );
}

function tell(
  { home, output }: Pick<Context, "home" | "output">,
  store: Store,
  to: string,
  restored: readonly RestoredFile[],
  isInSynced: boolean,
): number {
  const failed = restored.filter(({ failure }) => failure !== null);
  const files = restored.filter(({ failure, version }) => failure === null && version.state.kind === "file");
  const bytes = files.reduce((sum, { version }) => sum + version.state.sizeBytes, 0);
  const message = `${plural(files.length, "file")} (${showBytes(bytes)}) restored to ${to}`;
  if (files.length > 0) store.log.add(localNote(Date.now(), "restore", to, "restore", message));
  output.result({
    to,
    files: files.length,
    bytes,
    restored: restored.map(({ version, to, failure }) => ({
      ...{ path: version.path, kind: version.state.kind, to, size: version.state.sizeBytes },
      ...{ trashed: jsonTime(version.trashedMs), failure },
    })),
  }, () => [
    ...(files.length > 0 || failed.length === 0
      ? [`${plural(files.length, "file")} (${showBytes(bytes)}) restored to ${showPath(to)}`]
      : []),
    ...failed.slice(0, SHOWN_FAILURES).map(({ version, failure }) =>
      `${showPath(version.path)} could not be restored: ${escapeText(failure!)}`
    ),
    ...(failed.length > SHOWN_FAILURES
      ? [`and ${plural(failed.length - SHOWN_FAILURES, "more", "more")}`]
      : []),
  ]);
  if (isInSynced && files.length > 0) {
    output.hint([
      "It belongs to nobody: no peer changes or deletes it, and it is not sent. To send it, copy it into the watched folder.",
      `The trash still has it too:  ${home.command("trash list")}`,
    ]);
  }
  return failed.length === 0 ? EXIT.done : EXIT.failed;
}
