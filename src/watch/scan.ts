import type { FileStat, Observation } from "../domain/observation.ts";
import { FileError, type FileTree, type FolderEntry } from "../domain/ports.ts";
import { joinPath, nameOf, type RelativePath } from "../domain/relative_path.ts";
import type { Slices } from "../domain/slices.ts";
import type { Skipped } from "../store/skipped.ts";
import { Comparison, type Handling, type Place, travelling } from "./compare.ts";
import { IgnoreFiles } from "./ignore_files.ts";
import type { IgnoreFile, IgnoreRules } from "./ignore_rules.ts";
import type { Ledger, Page } from "./ledger.ts";
import { forgetOtherDisk, noteOtherDisk } from "./other_disks.ts";
import { enterBelow, enterRoot, type Entrance } from "./places.ts";

/** Changes that are written in one transaction, about. */
const COMMIT_ROWS = 1000;

/** What a scan is handed. */
export interface ScanParts {
  readonly tree: FileTree;
  readonly ledger: Ledger;
  readonly ignoreFiles: IgnoreFiles;
  /** See {@linkcode Handling.takes}. */
  takes(diskPath: string, stat: FileStat, row: Observation | null): boolean;
  /** A folder that was not observed before, or that was replaced: the watcher may have missed what happened in it. */
  onNewFolder(diskPath: string, stat: FileStat): void;
  /** Something is not as the scan saw it: to be looked at once more. */
  lookAgain(diskPath: string): void;
  /** Runs whatever must not wait for the end of a long scan. */
  between(): Promise<void>;
  /** Shared by scans that follow each other, so that many small ones let others go on as well. */
  readonly slices: Slices;
  readonly stopped: AbortSignal;
}

/** A folder that is to be listed. */
interface Opening {
  readonly entrance: Entrance;
  /** Nothing was observed at its path, and it is still to be noted. */
  readonly isNew: boolean;
}

/**
 * Compares folders with the table `observed`. Only looks, never reads content. What it finds is written as it goes, new and changed
 * paths first; what is missing is removed at the end, so that a path that was moved is known at its new place before it goes from the old one.
 */
export class Scan {
  readonly #parts: ScanParts;
  readonly #page: Page;
  readonly #comparison: Comparison;
  /** Folders still to be listed, the next one last. */
  readonly #open: Opening[] = [];
  /** What is noted as skipped in the part of the tree that is scanned, by folder. */
  readonly #skips = new Map<string, Skipped[]>();
  /** While the entries of one folder are compared: how to go on into its folders. */
  #descend: Handling["folder"] = () => {};

  constructor(parts: ScanParts, page: Page) {
    this.#parts = parts;
    this.#page = page;
    const handling: Handling = {
      takes: (diskPath, stat, row) => parts.takes(diskPath, stat, row),
      folder: (place, must, isNew) => this.#descend(place, must, isNew),
    };
    this.#comparison = new Comparison(parts.ledger.store, page, handling);
  }

  /**
   * Scans one folder, and what lies below it.
   *
   * @param recursive Without it only those folders below are entered that are not the ones that were observed.
   * @throws {FileError} when the root is missing or cannot be read; nothing is removed then.
   */
  async run(start: Entrance, recursive: boolean): Promise<void> {
    this.#loadSkips(start.place.diskPath);
    this.#open.push({ entrance: start, isNew: false });
    for (let next = this.#open.pop(); next !== undefined; next = this.#open.pop()) {
      this.#parts.stopped.throwIfAborted();
      await this.#folder(next, recursive);
      await this.#pause();
    }
    await this.#removeGone(await this.#stillThere(start.place));
    this.#commit();
  }

  #loadSkips(diskFolder: string): void {
    const { skipped } = this.#parts.ledger.store;
    const own = skipped.get(diskFolder === "" ? "." : diskFolder);
    for (const skip of own === null ? skipped.below(diskFolder) : [own, ...skipped.below(diskFolder)]) {
      const slash = skip.path.lastIndexOf("/");
      const folder = slash < 0 ? "" : skip.path.slice(0, slash);
      const list = this.#skips.get(folder);
      if (list === undefined) this.#skips.set(folder, [skip]);
      else list.push(skip);
    }
  }

  /** Writes what was found, and lets others go first when the slice is over. */
  async #pause(): Promise<void> {
    if (!this.#parts.slices.over && this.#page.size < COMMIT_ROWS) return;
    this.#commit();
    await this.#parts.slices.rest();
    await this.#parts.between();
  }

  #commit(): void {
    const { observed } = this.#parts.ledger.store;
    for (const path of this.#page.commit()) this.#parts.lookAgain(observed.get(path)?.diskPath ?? path);
  }

  async #folder({ entrance, isNew }: Opening, recursive: boolean): Promise<void> {
    const { place } = entrance;
    const path = place.path as RelativePath;
    // From here on the listing is the newest that is known, until somebody overtakes it.
    if (this.#page.isOvertakenAnywhere) {
      const isOvertaken = this.#page.isOvertaken(path);
      this.#commit();
      this.#page.catchUp();
      // Whoever looked at it after its parent was listed knows better.
      if (isNew && isOvertaken) return this.#parts.lookAgain(place.diskPath);
    }
    let entries: FolderEntry[];
    try {
      entries = await this.#parts.tree.list(place.diskPath);
    } catch (error) {
      return this.#unlisted(place, error, isNew);
    }
    if (isNew) {
      if (this.#page.isOvertaken(path)) return this.#parts.lookAgain(place.diskPath);
      // Right before what is in it, so that it is sent with that, and put in place with it as a whole.
      this.#comparison.note(place);
    }
    let own: IgnoreFile | null;
    try {
      own = await this.#ignoreFileOf(place, entries);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      return this.#comparison.outOfSight(place, IgnoreFiles.pathIn(place.diskPath), error.message);
    }
    const rules = entrance.enter(own);
    const below: Opening[] = [];
    this.#descend = (sub, must, isNewBelow) => {
      if (must) this.#parts.onNewFolder(sub.diskPath, sub.stat);
      if (must || recursive) {
        below.push({ entrance: enterBelow(sub, nameOf(sub.diskPath), rules), isNew: isNewBelow });
      }
    };
    await this.#compare(place, rules, entries);
    for (let i = below.length - 1; i >= 0; i--) this.#open.push(below[i]!);
  }

  #unlisted(place: Place, error: unknown, isNew: boolean): void {
    if (!(error instanceof FileError)) throw error;
    if (place.diskPath === "") throw error;
    // Gone since its parent was listed: whoever looks at it sees that.
    if (error.code === "not_found" || error.code === "not_folder") this.#parts.lookAgain(place.diskPath);
    else {
      if (isNew) this.#comparison.note(place);
      this.#comparison.outOfSight(place, place.diskPath, error.message);
    }
  }

  async #ignoreFileOf(place: Place, entries: readonly FolderEntry[]): Promise<IgnoreFile | null> {
    const name = nameOf(IgnoreFiles.pathIn(""));
    const entry = entries.find((each) => each.name === name);
    if (entry?.error) throw entry.error;
    return await this.#parts.ignoreFiles.read(place.diskPath, place.path, entry?.stat ?? null);
  }

  async #compare(place: Place, rules: IgnoreRules, entries: readonly FolderEntry[]): Promise<void> {
    const { ledger } = this.#parts;
    const comparison = this.#comparison;
    const rows = new Map<string, Observation>();
    for (const row of ledger.store.observed.childrenOf(place.path)) rows.set(row.path, row);
    const device = place.diskPath === "" ? ledger.rootDevice() : place.row?.device ?? null;
    const otherDevice = device !== null && device !== place.stat.device;
    const twins = twinsOf(place, entries, rows);
    comparison.skipped.clear();
    const folders = new Set<string>();
    // What was seen on the disk that is there now, and all else.
    const here = new Tally(), elsewhere = new Tally();
    const tallyOf = (row: Observation) => row.device === place.stat.device ? here : elsewhere;
    let count = 0;
    for (const entry of entries) {
      if (++count % 64 === 0) await this.#pause();
      // Vanished since the listing, unless the name is one that cannot be looked at.
      if (entry.stat === null && entry.error === null && !entry.name.includes("\u{FFFD}")) continue;
      const path = joinPath(place.path, travelling(entry.name));
      const row = twins?.has(entry.name) || isUnnameable(entry) ? null : rows.get(path) ?? null;
      if (row !== null) {
        rows.delete(path);
        if (row.held !== "ignored") tallyOf(row).found++;
      }
      if (entry.stat?.kind === "folder") folders.add(joinPath(place.diskPath, entry.name));
      comparison.entry(place, rules, entry, row, otherDevice, twins?.get(entry.name) ?? null);
    }
    for (const row of rows.values()) if (row.held !== "ignored") tallyOf(row).missing++;
    const otherDisk = otherDevice && elsewhere.mostIsMissing;
    // Another disk can have the number of one that was there before: then most of what was seen on that is missing too.
    if (otherDevice) {
      const remember = otherDisk ? noteOtherDisk : forgetOtherDisk;
      remember(ledger.store, place.diskPath, place.stat.device);
    }
    const isHeld = comparison.missing(
      place,
      rules,
      rows.values(),
      (row) => otherDisk && (tallyOf(row) === elsewhere || here.mostIsMissing),
    );
    if (!otherDisk) this.#accept(place, isHeld);
    for (const { path, reason } of this.#skips.get(place.diskPath) ?? []) {
      // A folder that could not be read is judged when it is listed itself; so is the one that is listed now.
      const judgedElsewhere = path === "." || (reason === "unreadable" && folders.has(path));
      if (!judgedElsewhere && !comparison.skipped.has(path)) this.#page.unskip(path);
    }
  }

  /** The folder is in order: what is kept of it is how it is now. */
  #accept(place: Place, isHeld: boolean): void {
    const { ledger } = this.#parts;
    if (place.diskPath === "") ledger.keepRootDevice(place.stat.device);
    else if (place.row !== null && place.row.device !== place.stat.device) {
      const { diskPath, stat, row: { path } } = place;
      this.#page.add({ kind: "present", path, diskPath, stat });
    }
    const skip = place.diskPath === "" ? "." : place.diskPath;
    if (!isHeld && ledger.store.skipped.get(skip)?.reason === "unreadable") this.#page.unskip(skip);
  }

  /** Whether the root is the one that the scan began with: a disk that was unmounted meanwhile has deleted nothing. */
  async #stillThere(start: Place): Promise<boolean> {
    if (this.#comparison.gone.length === 0) return true;
    const root = (await enterRoot(this.#parts.tree)).place.stat;
    return start.diskPath !== "" || (root.inode === start.stat.inode && root.device === start.stat.device);
  }

  async #removeGone(trusted: boolean): Promise<void> {
    if (!trusted) return;
    this.#commit();
    this.#page.catchUp();
    await removeGone(this.#parts, this.#comparison, () => this.#pause());
  }
}

/** How much of what was observed is still there. */
class Tally {
  found = 0;
  missing = 0;

  get mostIsMissing(): boolean {
    return this.missing > this.found;
  }
}

/** What {@linkcode removeGone} needs. */
export type RemoveParts = Pick<ScanParts, "tree" | "ledger" | "lookAgain">;

/** Removes the rows of what was found missing, after one more look, with everything that lay below. */
export async function removeGone(
  parts: RemoveParts,
  comparison: Comparison,
  pause: () => Promise<void>,
): Promise<void> {
  const { page } = comparison;
  for (const row of comparison.gone.splice(0)) {
    let isBack: boolean;
    try {
      isBack = await isThere(parts.tree, row.diskPath);
    } catch (error) {
      if (!(error instanceof FileError)) throw error;
      page.skip(row.diskPath, "unreadable", error.message);
      comparison.hold(row, "unknown");
      continue;
    }
    if (isBack) {
      parts.lookAgain(row.diskPath);
      continue;
    }
    if (row.kind === "folder") {
      for (const { path } of parts.ledger.store.observed.below(row.path).reverse()) {
        page.add({ kind: "gone", path });
        await pause();
      }
      for (const { path } of parts.ledger.store.skipped.below(row.diskPath)) page.unskip(path);
    }
    page.add({ kind: "gone", path: row.path });
    await pause();
  }
}

/** Whether a file or folder is there under exactly this name. */
async function isThere(tree: FileTree, diskPath: string): Promise<boolean> {
  const stat = await tree.lstat(diskPath);
  if (stat?.kind !== "file" && stat?.kind !== "folder") return false;
  // On a disk that folds case or Unicode forms another name leads here too: only a listing tells.
  const slash = diskPath.lastIndexOf("/");
  const entries = await tree.list(slash < 0 ? "" : diskPath.slice(0, slash));
  return entries.some((entry) => entry.name === diskPath.slice(slash + 1));
}

function isUnnameable(entry: FolderEntry): boolean {
  return entry.stat === null && entry.error === null;
}

/**
 * Of names that share one NFC form, those that do not keep it, each with the one that does: the name that is observed already, else the
 * one in NFC. `null` when there are none, as nearly always.
 */
function twinsOf(
  place: Place,
  entries: readonly FolderEntry[],
  rows: ReadonlyMap<string, Observation>,
): Map<string, string> | null {
  let groups: Map<string, string[]> | null = null;
  for (const { name, stat } of entries) {
    if (stat?.kind !== "file" && stat?.kind !== "folder") continue;
    const form = travelling(name);
    if (form === name && /^[ -~]*$/.test(name)) continue;
    groups ??= new Map();
    const group = groups.get(form);
    if (group === undefined) groups.set(form, [name]);
    else group.push(name);
  }
  let twins: Map<string, string> | null = null;
  for (const [form, names] of groups ?? []) {
    if (names.length === 1) continue;
    const observed = rows.get(joinPath(place.path, form))?.diskPath;
    const keeper = names.find((name) => joinPath(place.diskPath, name) === observed) ??
      names.find((name) => name === form) ?? names.sort()[0]!;
    for (const name of names) if (name !== keeper) (twins ??= new Map()).set(name, keeper);
  }
  return twins;
}
