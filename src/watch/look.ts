import { Slices } from "../domain/slices.ts";
import type { Observation } from "../domain/observation.ts";
import { FileError, type FolderEntry } from "../domain/ports.ts";
import { joinPath, nameOf, parentOf, type RelativePath } from "../domain/relative_path.ts";
import { Comparison, type Place, travelling } from "./compare.ts";
import type { IgnoreRules } from "./ignore_rules.ts";
import { IgnoreFiles } from "./ignore_files.ts";
import type { Page } from "./ledger.ts";
import { locate, type Located, rowAt } from "./places.ts";
import { isUnchanged, observedStat } from "./sighting.ts";
import { removeGone, type ScanParts } from "./scan.ts";

/** Events below a folder that cannot be read may come in any number; it is looked at again no faster than this. */
const OUT_OF_SIGHT_MS = 250;

/** What single looks are handed. */
export interface LookParts
  extends Pick<ScanParts, "tree" | "ledger" | "ignoreFiles" | "takes" | "onNewFolder" | "lookAgain"> {
  /** Whether the sender asked for the look because what it read cannot be trusted. */
  asked(diskPath: string): boolean;
  /** Asks for a scan of a folder, soon or after a while. */
  scan(diskFolder: string, recursive: boolean, afterMs?: number): void;
  /** Asks for the removal of a folder's rows once the scans asked for are done: it may have been moved into what they scan. */
  removeLater(row: Observation): void;
}

/**
 * Looks at single paths that something happened to. Answers only the plain cases by itself, with a few stats; whatever needs a listing
 * (new folders, other Unicode forms, another disk) is handed to a scan of the folder concerned.
 *
 * @throws {FileError} when the root cannot be entered.
 */
export async function lookAt(parts: LookParts, diskPaths: readonly string[]): Promise<void> {
  using page = parts.ledger.page();
  const slices = new Slices(parts.ledger.clock);
  const pause = async () => {
    if (!slices.over && page.size < 1000) return;
    commit(parts, page);
    await slices.rest();
  };
  const look = new Look(parts, page);
  for (const [folder, names] of byFolder(diskPaths)) {
    const located = await locate(parts.tree, parts.ledger.store, parts.ignoreFiles, folder);
    if (located.kind !== "here") {
      askAbove(parts, located);
      continue;
    }
    for (const name of names) {
      await look.at(located.entrance.place, located.rules, name);
      await pause();
    }
  }
  await removeGone(parts, look.comparison, pause);
  commit(parts, page);
}

function commit(parts: LookParts, page: Page): void {
  const { observed } = parts.ledger.store;
  for (const path of page.commit()) parts.lookAgain(observed.get(path)?.diskPath ?? path);
}

function askAbove(parts: LookParts, located: Exclude<Located, { kind: "here" }>): void {
  if (located.kind === "look") parts.lookAgain(located.diskPath);
  else if (located.kind === "scan") parts.scan(located.entrance.place.diskPath, true, OUT_OF_SIGHT_MS);
}

function byFolder(diskPaths: readonly string[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const path of diskPaths) {
    const slash = path.lastIndexOf("/");
    const folder = slash < 0 ? "" : path.slice(0, slash);
    const group = groups.get(folder);
    if (group === undefined) groups.set(folder, [path.slice(slash + 1)]);
    else group.push(path.slice(slash + 1));
  }
  return groups;
}

class Look {
  readonly comparison: Comparison;
  readonly #parts: LookParts;
  readonly #page: Page;

  constructor(parts: LookParts, page: Page) {
    this.#parts = parts;
    this.#page = page;
    this.comparison = new Comparison(parts.ledger.store, page, {
      takes: (diskPath, stat, row) => parts.takes(diskPath, stat, row),
      folder: (place, must, isNew) => this.#folder(place, must, isNew),
    });
  }

  async at(place: Place, rules: IgnoreRules, name: string): Promise<void> {
    const { tree, ledger } = this.#parts;
    const diskPath = joinPath(place.diskPath, name);
    const row = rowAt(ledger.store, joinPath(place.path, travelling(name)));
    let entry: FolderEntry;
    try {
      entry = { name, stat: await tree.lstat(diskPath), error: null };
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      entry = { name, stat: null, error };
    }
    if (name === nameOf(IgnoreFiles.pathIn(""))) this.#ignoreFile(place, entry, row);
    if (this.#needsListing(place, entry, diskPath, row)) {
      return this.#parts.scan(place.diskPath, false);
    }
    if (entry.stat === null && entry.error === null) return this.#absent(place, rules, diskPath, row);
    this.comparison.skipped.clear();
    this.comparison.entry(place, rules, entry, row, false);
    const skip = ledger.store.skipped.get(diskPath);
    if (
      skip !== null && !this.comparison.skipped.has(diskPath) && !this.#isUnreadableFolder(entry, diskPath)
    ) {
      this.#page.unskip(diskPath);
    }
    if (row !== null && entry.stat?.kind === "file" && isUnchanged(row, diskPath, observedStat(entry.stat))) {
      if (!this.#parts.asked(diskPath)) return;
      this.#page.add({
        kind: "present",
        path: row.path,
        diskPath,
        stat: observedStat(entry.stat),
        distrusted: true,
      });
    }
  }

  #isUnreadableFolder(entry: FolderEntry, diskPath: string): boolean {
    return entry.stat?.kind === "folder" &&
      this.#parts.ledger.store.skipped.get(diskPath)?.reason === "unreadable";
  }

  /** The rules of a folder changed, or will in a moment: everything in it is to be judged anew. */
  #ignoreFile(place: Place, entry: FolderEntry, row: Observation | null): void {
    const untouched = row !== null && row.mtimeMs === entry.stat?.mtimeMs &&
      row.sizeBytes === entry.stat.sizeBytes &&
      row.ctimeMs === entry.stat.ctimeMs;
    if (!untouched) this.#parts.scan(place.diskPath, true);
  }

  #needsListing(
    place: Place,
    { name, stat }: FolderEntry,
    diskPath: string,
    row: Observation | null,
  ): boolean {
    const { ledger } = this.#parts;
    const device = place.diskPath === "" ? ledger.rootDevice() : place.row?.device ?? null;
    if (stat === null && device !== null && device !== place.stat.device) return true;
    if (!/^[ -~]*$/.test(name)) {
      return stat === null || travelling(name) !== name || (row !== null && row.diskPath !== diskPath);
    }
    if (row !== null || stat === null || stat.inode === 0) return false;
    // A new name of something observed that differs in case only: on a disk that folds case the old name is gone.
    const path = joinPath(place.path, name) as RelativePath;
    return ledger.store.observed.otherOf(stat, path)?.path.toLowerCase() === path.toLowerCase();
  }

  #absent(place: Place, rules: IgnoreRules, diskPath: string, row: Observation | null): void {
    if (this.#parts.ledger.store.skipped.get(diskPath) !== null) this.#page.unskip(diskPath);
    if (row === null) return;
    this.comparison.missing(place, rules, [row], () => false);
    // A folder that was moved is first to be found at its new place.
    const last = this.comparison.gone.at(-1);
    if (last === row && row.kind === "folder") {
      this.comparison.gone.pop();
      this.#parts.removeLater(row);
    }
  }

  #folder(place: Place, must: boolean, isNew: boolean): void {
    if (isNew) this.comparison.note(place);
    const { skipped } = this.#parts.ledger.store;
    const outOfSight = skipped.get(place.diskPath)?.reason === "unreadable" ||
      skipped.get(IgnoreFiles.pathIn(place.diskPath))?.reason === "unreadable";
    if (must) this.#parts.onNewFolder(place.diskPath, place.stat);
    const { row, stat, diskPath } = place;
    // Another disk, perhaps: a scan comes to it only from the folder above, and may find that it is not to be taken for this one.
    if (row !== null && row.device !== stat.device) {
      this.#parts.scan(parentOf(diskPath as RelativePath) ?? "", false, OUT_OF_SIGHT_MS);
    } else if (must || outOfSight) this.#parts.scan(diskPath, true);
  }
}
