import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { FileStat, Held, Observation } from "../domain/observation.ts";
import type { FolderEntry } from "../domain/ports.ts";
import {
  joinPath,
  nameOf,
  parseRelativePath,
  type RelativePath,
  STAGING_FOLDER,
} from "../domain/relative_path.ts";
import type { SkipReason } from "../store/skipped.ts";
import type { Store } from "../store/store.ts";
import type { IgnoreRules } from "./ignore_rules.ts";
import type { Page } from "./ledger.ts";
import { otherDisksAt } from "./other_disks.ts";
import { isUnchanged, observedStat } from "./sighting.ts";

/** A folder as it is right now; the root has `""` as its paths and no row. */
export interface Place {
  readonly diskPath: string;
  readonly path: string;
  readonly stat: FileStat;
  /** Its row, `null` for the root and for a folder that was not observed before. */
  readonly row: Observation | null;
}

/** What a comparison asks and tells while it works. */
export interface Handling {
  /** Whether a new or changed file may be taken up as it is now; if not, whoever said so sees to it that it is looked at again. */
  takes(diskPath: string, stat: FileStat, row: Observation | null): boolean;
  /**
   * A folder was found.
   *
   * @param must It is not the one that was observed, or was out of sight, so what lies in it is in doubt.
   * @param isNew Nothing was observed at its path; to be {@linkcode Comparison.note noted}.
   */
  folder(place: Place, must: boolean, isNew: boolean): void;
}

/** A path as a message shows it. */
export function shown(path: string): string {
  // deno-lint-ignore no-control-regex -- control characters are what must not reach a terminal or a log line
  return /[\u0000-\u001f\u007f-\u009f]/.test(path) ? JSON.stringify(path) : path;
}

/** The name in the form in which it travels. */
export function travelling(name: string): string {
  // deno-lint-ignore no-control-regex -- the range of ASCII
  return /^[\u0000-\u007f]*$/.test(name) ? name : name.normalize("NFC");
}

const WHAT_STAYS = "until then what belongs there stays on the peer as it was";

/** Compares entries of folders with the rows that they have, and writes the differences on a page. */
export class Comparison {
  readonly page: Page;
  /** What was found missing, the topmost path only; for the caller to make certain and to remove. */
  readonly gone: Observation[] = [];
  /** What was noted as skipped; the caller empties it. */
  readonly skipped = new Set<string>();
  readonly #store: Store;
  readonly #handling: Handling;

  constructor(store: Store, page: Page, handling: Handling) {
    this.#store = store;
    this.page = page;
    this.#handling = handling;
  }

  /**
   * Works in one entry of a folder.
   *
   * @param row The row at the entry's path.
   * @param renumbered Whether the folder's device is another one than before.
   * @param twinOf The name of the entry that has the same NFC form and keeps it.
   */
  entry(
    place: Place,
    rules: IgnoreRules,
    { name, stat: found, error }: FolderEntry,
    row: Observation | null,
    renumbered: boolean,
    twinOf: string | null = null,
  ): void {
    if (name === STAGING_FOLDER) {
      if (place.diskPath === "") return;
      // Of a mirror further down, most likely; or somebody's own.
      const path = joinPath(place.diskPath, name);
      return this.#skip(
        path,
        "bad_name",
        `${shown(path)} has the name of MirrorSync's own folder for what arrives, and is not sent`,
      );
    }
    const diskPath = joinPath(place.diskPath, name);
    const travels = travelling(name);
    if (rules.ignores(travels, found === null ? row?.kind === "folder" : found.kind === "folder")) {
      if (row !== null) this.hold(row, "ignored");
      if (found?.kind === "folder") {
        for (const { path } of this.#store.skipped.below(diskPath)) this.page.unskip(path);
      }
      return;
    }
    if (error !== null) return this.#unreadable(diskPath, error.message, row);
    if (found === null) {
      this.#skip(
        diskPath,
        "not_utf8",
        `${shown(diskPath)}: this name is not UTF-8 and is not sent: rename it to send it`,
      );
      return;
    }
    if (found.kind === "symlink" || found.kind === "special") {
      if (row !== null) this.gone.push(row);
      const what = found.kind === "symlink"
        ? "a symbolic link: links are neither followed nor sent"
        : "a pipe, socket or device: only files and folders are sent";
      this.#skip(diskPath, found.kind, `${shown(diskPath)} is ${what}`);
      return;
    }
    if (twinOf !== null) {
      this.#skip(
        diskPath,
        "unicode_twin",
        `${shown(diskPath)} is not sent: ${
          JSON.stringify(twinOf)
        } beside it is the same name in another Unicode form: ` +
          "rename one of the two",
      );
      return;
    }
    const stat = observedStat(found);
    if (found.kind === "file") this.#file(place, diskPath, travels, stat, row, renumbered);
    else this.#folder(place, diskPath, travels, stat, row);
  }

  #file(
    place: Place,
    diskPath: string,
    name: string,
    stat: FileStat,
    row: Observation | null,
    renumbered: boolean,
  ): void {
    if (row !== null && isUnchanged(row, diskPath, stat)) return;
    const path = row?.path ?? this.#parse(place, diskPath, name);
    if (path === null || !this.#handling.takes(diskPath, stat, row)) return;
    if (row?.kind === "folder") this.removeBelow(row);
    this.page.add({ kind: "present", path, diskPath, stat, renumbered });
  }

  #folder(place: Place, diskPath: string, name: string, stat: FileStat, row: Observation | null): void {
    const path = row?.path ?? this.#parse(place, diskPath, name);
    if (path === null) return;
    const known = row !== null && row.kind === "folder" && row.diskPath === diskPath;
    if (known && row.device !== stat.device) {
      // Perhaps something was mounted or unmounted here: its row changes only after its entries were compared.
      return this.#handling.folder({ diskPath, path, stat, row }, true, false);
    }
    const must = !known || !isUnchanged(row, diskPath, stat);
    if (must && row !== null) this.page.add({ kind: "present", path, diskPath, stat });
    this.#handling.folder({ diskPath, path, stat, row: known ? row : null }, must, row === null);
  }

  #parse(place: Place, diskPath: string, name: string): RelativePath | null {
    try {
      return parseRelativePath(joinPath(place.path, name));
    } catch (error) {
      const reserved = error instanceof MirrorError && error.code === "reserved_name";
      if (!reserved) {
        this.#skip(diskPath, "bad_name", `${messageOf(error)}: it is not sent; rename it to send it`);
      }
      return null;
    }
  }

  #unreadable(diskPath: string, message: string, row: Observation | null): void {
    this.#skip(diskPath, "unreadable", `${message}: make it readable; ${WHAT_STAYS}`);
    if (row !== null) this.hold(row, "unknown");
  }

  /** Notes that a folder is there. */
  note({ path, diskPath, stat }: Place): void {
    this.page.add({ kind: "present", path: path as RelativePath, diskPath, stat });
  }

  /** Notes that the entries of a folder are out of sight, or in doubt: `cause` is the file or folder that cannot be read. */
  outOfSight(place: Place, cause: string, message: string): void {
    this.#skip(cause === "" ? "." : cause, "unreadable", `${message}: make it readable; ${WHAT_STAYS}`);
    this.holdBelow(place.path, "unknown");
  }

  /**
   * Works in the rows of a folder that no entry of its listing belongs to.
   *
   * @param otherDisk Whether a row belongs to another disk than the one that is there now, apart from what is known of other disks.
   * @returns Whether there is such a row.
   */
  missing(
    place: Place,
    rules: IgnoreRules,
    rows: Iterable<Observation>,
    otherDisk: (row: Observation) => boolean,
  ): boolean {
    let others: ReadonlySet<number> | null = null;
    const isElsewhere = (row: Observation) => {
      if (otherDisk(row)) return true;
      if (row.device === place.stat.device) return false;
      others ??= otherDisksAt(this.#store, place.diskPath);
      return others.has(row.device);
    };
    let any = false;
    for (const row of rows) {
      if (rules.ignores(nameOf(row.path), row.kind === "folder")) this.hold(row, "ignored");
      else if (isElsewhere(row)) {
        any = true;
        this.hold(row, "unknown");
      } else this.gone.push(row);
    }
    if (any) {
      this.#skip(
        place.diskPath === "" ? "." : place.diskPath,
        "unreadable",
        `${
          place.diskPath === "" ? "the watched folder" : shown(place.diskPath)
        } is on another disk than before and ` +
          "most of what was in it is not there (is a disk not mounted?): mount it again, or put the files back. " +
          "Nothing that is missing there is deleted on the peer",
      );
    }
    return any;
  }

  /** Holds a row, and what lies below it. */
  hold(row: Observation, held: Held): void {
    this.#holdRow(row, held);
    if (row.kind === "folder") this.holdBelow(row.path, held);
  }

  holdBelow(folder: string, held: Held): void {
    for (const row of this.#store.observed.below(folder)) this.#holdRow(row, held);
  }

  #holdRow(row: Observation, held: Held): void {
    if (row.held !== held && row.held !== "ignored") this.page.add({ kind: "held", path: row.path, held });
  }

  /** Removes the rows of what lay below a folder that is none any more, the deepest first. */
  removeBelow(folder: Observation): void {
    for (const row of this.#store.observed.below(folder.path).reverse()) {
      this.page.add({ kind: "gone", path: row.path });
    }
    for (const { path } of this.#store.skipped.below(folder.diskPath)) this.page.unskip(path);
  }

  #skip(path: string, reason: SkipReason, message: string): void {
    this.skipped.add(path);
    this.page.skip(path, reason, message);
  }
}
