import type { Command } from "commander";
import { InvalidArgumentError } from "commander";
import { whoOf } from "../auth/auth.ts";
import { HOME_TRASH } from "../domain/relative_path.ts";
import type { Trashed } from "../store/trash.ts";
import { loadConfig } from "./config.ts";
import type { Action, Context } from "./context.ts";
import { examplesEnd, EXIT, helpEnd } from "./exit_status.ts";
import { lastFolders } from "./last_folders.ts";
import { countFlag } from "./log.ts";
import { escapeText, jsonTime, plural, showBytes, showPath, showTime, table } from "./text.ts";

interface ListFlags {
  readonly limit: number;
  readonly path?: string;
}

interface EmptyFlags {
  readonly days?: number;
}

const DEFAULT_LIMIT = 100;
const BATCH = 500;
const DAY_MS = 86_400_000;
const STATUSES = [EXIT.done, EXIT.failed, EXIT.wrongUsage];

/** Adds `mirrorsync trash list|empty`. */
export function addTrash(program: Command, action: Action): void {
  const trash = program.command("trash")
    .summary("list what peers have deleted or replaced here, or empty the trash")
    .description(
      "What a peer deletes or replaces in the synced folder goes to the trash of this home first: for 30 days (`trash_days`), " +
        "and up to 10 GB in all (`trash_size`). `mirrorsync restore` brings it back.",
    )
    .addHelpText("after", examplesEnd("mirrorsync trash\nmirrorsync restore docs/report.txt"));
  trash.command("list", { isDefault: true })
    .summary("list it (this is what `trash` alone does)")
    .description("Lists the versions in the trash, those that went last at the end.")
    .option("--limit <n>", "how many", countFlag, DEFAULT_LIMIT)
    .option(
      "--path <glob>",
      "only paths that match: * is any text (with slashes), ? one character, [a-z] one of these",
    )
    .addHelpText("after", helpEnd("mirrorsync trash list --path 'docs/*'", STATUSES))
    .action(action("operator", list));
  trash.command("empty")
    .summary("remove what is in it, for good")
    .description(
      "Removes all versions in the trash for good, or those that went some days ago. Nothing brings them back.",
    )
    .option("--days <n>", "only what went more than so many days ago", daysFlag)
    .addHelpText("after", helpEnd("mirrorsync trash empty --days 7", STATUSES))
    .action(action("admin", empty));
}

function daysFlag(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError("Use a whole number of days from 0 on.");
  return Number(text);
}

async function list({ home, output }: Context, flags: ListFlags): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  const peers = new Map(store.peers.list().map(({ number, name }) => [number, name]));
  const versions = store.trash.newest(flags.limit, flags.path ?? null).reverse();
  const nameOf = (version: Trashed) => peers.get(version.peer) ?? null;
  output.result(
    versions.map((version) => trashedJson(version, nameOf(version))),
    () =>
      table(versions.map((version) => [
        showTime(version.trashedMs),
        version.reason,
        escapeText(nameOf(version) ?? "a peer that was removed"),
        version.state.kind === "folder" ? "folder" : showBytes(version.state.sizeBytes),
        showPath(version.path),
      ])),
  );
  const { files, bytes } = store.trash.count();
  output.hint(
    versions.length === 0
      ? [flags.path === undefined ? "The trash is empty." : "Nothing in the trash has such a path."]
      : [
        `${plural(files, "file")} in all (${showBytes(bytes)}). To bring one back:  ${
          home.command("restore PATH")
        }`,
      ],
  );
  return EXIT.done;
}

/** A version in the trash as JSON. */
export function trashedJson({ path, state, reason, placedMs, trashedMs }: Trashed, peer: string | null) {
  return {
    path,
    kind: state.kind,
    size: state.sizeBytes,
    modified: state.kind === "folder" ? null : jsonTime(state.mtimeMs),
    hash: state.kind === "folder" ? null : state.hash,
    reason,
    peer,
    placed: placedMs === 0 ? null : jsonTime(placedMs),
    trashed: jsonTime(trashedMs),
  };
}

async function empty({ home, output, actor }: Context, { days }: EmptyFlags): Promise<number> {
  await home.mustBeInitialised();
  using store = home.openStore();
  let files = 0, bytes = 0;
  if (store.trash.page(0, 1).length > 0) {
    const folders = lastFolders(home, await loadConfig(home.configPath), store);
    const [{ DiskTree }, { removeStored }] = await Promise.all([
      import("../system/disk_tree.ts"),
      import("../receive/trash.ts"),
    ]);
    const tree = new DiskTree(folders.synced, { path: HOME_TRASH, at: home.trashPath });
    const beforeMs = days === undefined ? Infinity : Date.now() - days * DAY_MS;
    const newest = store.trash.newest(1, null)[0]?.number ?? 0;
    for (let after = 0;;) {
      const page = store.trash.page(after, BATCH).filter(({ number }) => number <= newest);
      if (page.length === 0) break;
      after = page.at(-1)!.number;
      const going = page.filter(({ trashedMs }) => trashedMs < beforeMs);
      for (const version of going) await removeStored(tree, version);
      store.transaction(() => going.forEach(({ number }) => store.trash.remove(number)));
      for (const { state } of going) {
        if (state.kind === "file") files++;
        bytes += state.sizeBytes;
      }
    }
    store.audit.record({
      ...{ atMs: Date.now(), kind: "trash_emptied", who: whoOf(actor), subject: "trash" },
      detail: `${files} files of ${bytes} bytes were removed for good`,
    });
  }
  output.done({ files, bytes }, () => [
    files === 0
      ? "Nothing was in the trash."
      : `${plural(files, "file")} (${showBytes(bytes)}) removed for good.`,
  ]);
  return EXIT.done;
}
