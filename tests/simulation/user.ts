import { joinPath, STAGING_FOLDER } from "../../src/domain/relative_path.ts";
import { isCopy } from "./checks.ts";
import { freshContent, hashOf } from "./contents.ts";
import type { FileNode } from "./memory_nodes.ts";
import type { MemoryTree } from "./memory_tree.ts";
import type { Prng } from "./prng.ts";
import type { World } from "./world.ts";

/** What users do to a folder. */
export const USER_ACTIONS = [
  "create",
  "edit",
  "append",
  "truncate",
  "replace",
  "move file",
  "move folder",
  "delete file",
  "delete folder",
  "recreate",
  "change case",
  "swap kinds",
  "unpack",
  "large",
  "change large",
  "executable",
  "touch",
  "write slowly",
  "copy",
] as const;
export type UserAction = typeof USER_ACTIONS[number];

const FOLDERS = ["", "", "a", "b", "a/c", "d e", "Ä"];
const NAMES = ["one.txt", "two.txt", "three", "four.md", "five.bin", "ö.txt"];
/** Above this a file travels in pieces. */
const LARGE_BYTES = 280 * 1024;

/**
 * Somebody who works in a folder. Every save is whole and flushed, as that of a program that does it well. What a user has written
 * and not overwritten or deleted is remembered: it must not be lost.
 */
export class User {
  readonly #tree: MemoryTree;
  readonly #world: World;
  readonly #label: string;
  readonly #flushesDeletions: boolean;
  readonly #onTouched: (path: string) => void;
  readonly #onMistake: (error: unknown) => void;
  /** The contents that must still exist, with the path where each was saved. */
  readonly kept = new Map<string, string>();
  /** Every content that was ever saved. */
  readonly saved = new Set<string>();
  #saves = 0;

  constructor(parts: {
    readonly tree: MemoryTree;
    readonly world: World;
    readonly label: string;
    /** Whether what is deleted is gone for good; else a power cut may bring it back, as after `rm`. */
    readonly flushesDeletions: boolean;
    readonly onTouched: (path: string) => void;
    readonly onMistake: (error: unknown) => void;
  }) {
    this.#tree = parts.tree;
    this.#world = parts.world;
    this.#label = parts.label;
    this.#flushesDeletions = parts.flushesDeletions;
    this.#onTouched = parts.onTouched;
    this.#onMistake = parts.onMistake;
  }

  /** Does something, or nothing if there is nothing to do it to; tells what. Every choice is `random`'s. */
  act(action: UserAction, random: Prng): string {
    switch (action) {
      case "create":
        return this.#create(random);
      case "edit":
        return this.#change(random, (old) => this.#fresh(random, random.chance(0.3) ? old.length : null));
      case "append":
        return this.#append(random);
      case "truncate":
        return this.#change(random, (old) => old.slice(0, random.int(0, old.length)));
      case "replace":
        return this.#replace(random);
      case "move file":
        return this.#moveFile(random);
      case "move folder":
        return this.#moveFolder(random);
      case "delete file":
        return this.#deleteFile(random);
      case "delete folder":
        return this.#deleteFolder(random);
      case "recreate":
        return this.#recreate(random);
      case "change case":
        return this.#changeCase(random);
      case "swap kinds":
        return this.#swapKinds(random);
      case "unpack":
        return this.#unpack(random);
      case "large":
        return this.#save(
          this.#newPath(random),
          freshContent(
            random,
            this.#name(),
            random.chance(0.15)
              ? random.int(3 * LARGE_BYTES, 5 * LARGE_BYTES)
              : random.int(LARGE_BYTES, 2 * LARGE_BYTES),
          ),
        );
      case "change large":
        return this.#changeLarge(random);
      case "executable":
        return this.#executable(random);
      case "touch":
        return this.#touch(random);
      case "write slowly":
        return this.#writeSlowly(random);
      case "copy":
        return this.#copy(random);
    }
  }

  // Single saves.

  #create(random: Prng): string {
    return this.#save(this.#newPath(random), this.#fresh(random, null));
  }

  editFile(path: string, random: Prng): string {
    return this.#tree.nodeAt(path)?.kind === "file" ? this.#save(path, this.#fresh(random, null)) : "";
  }

  #change(random: Prng, change: (old: Uint8Array) => Uint8Array): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    return this.#save(found.path, change(found.node.content));
  }

  #append(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    const { content } = found.node;
    const more = this.#fresh(random, 40);
    this.#overwritten(found.node);
    const joined = new Uint8Array(content.length + more.length);
    joined.set(content);
    joined.set(more, content.length);
    this.#tree.save(found.path, joined);
    return this.#saved(found.path, "appends to");
  }

  /** As most editors save: the new version beside the old one, then renamed over it. */
  #replace(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    const beside = `${found.path}.tmp`;
    if (this.#tree.nodeAt(beside) !== null) return "";
    this.#tree.save(beside, this.#fresh(random, null));
    this.#overwritten(found.node);
    this.#done(this.#tree.rename(beside, found.path));
    return this.#saved(found.path, "replaces");
  }

  #save(path: string, content: Uint8Array): string {
    const node = this.#tree.nodeAt(path);
    if (node?.kind === "folder") return "";
    if (node !== null) this.#overwritten(node);
    else if (!this.#makeParents(path)) return "";
    this.#tree.save(path, content);
    return this.#saved(path, node === null ? "creates" : "edits");
  }

  #writeSlowly(random: Prng): string {
    const path = this.#newPath(random);
    if (this.#tree.nodeAt(path) !== null || !this.#makeParents(path)) return "";
    this.#tree.save(path, this.#fresh(random, null), false);
    this.#saved(path, "");
    const begun = this.#tree.nodeAt(path);
    const rest = this.#fresh(random, null);
    this.#world.after(random.unit() * 3000, () => {
      // The power may have gone, and with it the program that was writing; or the file was moved or deleted meanwhile.
      const node = this.#tree.nodeAt(path);
      if (node?.kind !== "file" || node !== begun) return;
      this.#overwritten(node);
      this.#tree.save(path, rest);
      this.#saved(path, "");
    });
    return `writes slowly ${path}`;
  }

  #changeLarge(random: Prng): string {
    const large = this.#files().filter(({ node }) => node.content.length >= LARGE_BYTES);
    if (large.length === 0) return this.act("large", random);
    const { path, node } = random.pick(large);
    const old = node.content;
    const at = random.int(0, old.length);
    const insert = this.#fresh(random, random.int(10, 3000));
    const cut = random.chance(0.5) ? 0 : random.int(0, Math.min(5000, old.length - at));
    const content = new Uint8Array(old.length + insert.length - cut);
    content.set(old.subarray(0, at));
    content.set(insert, at);
    content.set(old.subarray(at + cut), at + insert.length);
    return this.#save(path, content);
  }

  #copy(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    return this.#save(this.#newPath(random), found.node.content.slice());
  }

  #executable(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    this.#done(this.#tree.setExecutable(found.path, !found.node.executable));
    this.#tree.settle(found.path);
    this.#onTouched(found.path);
    return `changes the mode of ${found.path}`;
  }

  #touch(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    this.#done(this.#tree.setTimes(found.path, Date.UTC(random.int(1975, 2040), random.int(0, 11), 3)));
    this.#tree.settle(found.path);
    this.#onTouched(found.path);
    return `sets the time of ${found.path}`;
  }

  // Moves and deletions.

  #moveFile(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    const to = this.#newPath(random);
    const there = this.#tree.nodeAt(to);
    if (there?.kind === "folder" || to === found.path || !this.#makeParents(to)) return "";
    if (there !== null) this.#overwritten(there);
    this.#done(this.#tree.rename(found.path, to));
    return this.#moved(found.path, to);
  }

  #moveFolder(random: Prng): string {
    const folders = this.#folders();
    if (folders.length === 0) return "";
    const from = random.pick(folders);
    const to = joinPath(random.pick(["", ...folders]), random.pick(["a", "b", "moved", "d e"]));
    if (to === from || to.startsWith(`${from}/`) || this.#tree.nodeAt(to) !== null) return "";
    this.#done(this.#tree.rename(from, to));
    return this.#moved(from, to);
  }

  #moved(from: string, to: string): string {
    this.#tree.settle(parentOf(from));
    this.#tree.settle(to);
    this.#onTouched(from);
    this.#onTouched(to);
    return `moves ${from} to ${to}`;
  }

  #deleteFile(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    this.deleteFile(found.path);
    return `deletes ${found.path}`;
  }

  #deleteFolder(random: Prng): string {
    const folders = this.#folders();
    if (folders.length === 0) return "";
    const folder = random.pick(folders);
    this.#deleteBelow(folder);
    return `deletes the folder ${folder}`;
  }

  #deleteBelow(folder: string): void {
    for (const [path, node] of [...this.#tree.all(folder)].reverse()) {
      if (node.kind === "folder") this.#done(this.#tree.rmdir(path));
      else this.deleteFile(path);
    }
    this.#done(this.#tree.rmdir(folder));
    if (this.#flushesDeletions) this.#tree.settle(parentOf(folder));
    this.#onTouched(folder);
  }

  deleteFile(path: string): void {
    const node = this.#tree.nodeAt(path);
    if (node?.kind !== "file") return;
    this.#overwritten(node);
    this.#done(this.#tree.unlink(path));
    // A conflict copy that came back would pass for one that the program has made.
    if (this.#flushesDeletions || isCopy(path)) this.#tree.settle(parentOf(path));
    this.#onTouched(path);
  }

  #recreate(random: Prng): string {
    const found = this.#pickFile(random);
    if (found === null) return "";
    const content = random.chance(0.3) ? found.node.content : this.#fresh(random, null);
    this.deleteFile(found.path);
    this.#save(found.path, content);
    return `deletes and makes again ${found.path}`;
  }

  #changeCase(random: Prng): string {
    const paths = [...this.#files().map(({ path }) => path), ...this.#folders()];
    if (paths.length === 0) return "";
    const from = random.pick(paths);
    const name = from.slice(from.lastIndexOf("/") + 1);
    const to = joinPath(
      parentOf(from),
      name === name.toUpperCase() ? name.toLowerCase() : name.toUpperCase(),
    );
    if (to === from || this.#tree.nodeAt(to) !== null) return "";
    this.#done(this.#tree.rename(from, to));
    return this.#moved(from, to);
  }

  /** A file becomes a folder with a file in it, or a folder a file. */
  #swapKinds(random: Prng): string {
    const folders = this.#folders();
    if (random.chance(0.5) && folders.length > 0) {
      const folder = random.pick(folders);
      this.#deleteBelow(folder);
      this.#save(folder, this.#fresh(random, null));
      return `makes a file of the folder ${folder}`;
    }
    const found = this.#pickFile(random);
    if (found === null) return "";
    this.deleteFile(found.path);
    this.#save(`${found.path}/inside.txt`, this.#fresh(random, null));
    return `makes a folder of the file ${found.path}`;
  }

  /** Many small files at once. */
  #unpack(random: Prng): string {
    const folder = joinPath(random.pick(FOLDERS), random.pick(["src", "pictures"]));
    const count = random.int(6, 20);
    for (let i = 0; i < count; i++) {
      const path = `${folder}/${random.pick(["", "", "x/"])}n${i}`;
      this.#save(path, this.#fresh(random, random.int(0, 200)));
    }
    return `unpacks ${count} files into ${folder}`;
  }

  /** Moves what is at a path to a name of its own. */
  moveAway(path: string): string {
    const to = `${path} (mine ${++this.#saves})`;
    this.#done(this.#tree.rename(path, to));
    return `a user ${this.#moved(path, to)}`;
  }

  // Helpers.

  /** The tree has done it already; that it could not would be a mistake of the simulation. */
  #done(work: Promise<void>): void {
    work.catch((error) => this.#onMistake(error));
  }

  #name(): string {
    return `${this.#label} ${++this.#saves}`;
  }

  #fresh(random: Prng, sizeBytes: number | null): Uint8Array {
    return freshContent(random, this.#name(), sizeBytes ?? (random.chance(0.1) ? 0 : random.int(1, 2000)));
  }

  #saved(path: string, verb: string): string {
    this.#tree.settle(path);
    this.#onTouched(path);
    const node = this.#tree.nodeAt(path);
    if (node?.kind === "file") {
      const hash = hashOf(node.content);
      this.kept.set(hash, path);
      this.saved.add(hash);
    }
    return `${verb} ${path}`;
  }

  #overwritten(node: { kind: string }): void {
    if (node.kind === "file") this.kept.delete(hashOf((node as FileNode).content));
  }

  /** Makes the folders above a path; tells whether that could be done, and no other name stands in the way where names fold. */
  #makeParents(path: string): boolean {
    const names = path.split("/");
    for (let i = 1; i <= names.length; i++) {
      const at = names.slice(0, i).join("/");
      if (this.#hasTwin(at)) return false;
      const node = this.#tree.nodeAt(at);
      if (i === names.length) return true;
      if (node?.kind === "file") return false;
      if (node === null) this.#done(this.#tree.mkdir(at));
    }
    return true;
  }

  #hasTwin(path: string): boolean {
    const folder = this.#tree.nodeAt(parentOf(path));
    if (folder?.kind !== "folder") return false;
    const name = path.slice(path.lastIndexOf("/") + 1);
    return [...folder.entries.keys()].some((other) =>
      other !== name && other.toLowerCase() === name.toLowerCase()
    );
  }

  #newPath(random: Prng): string {
    return joinPath(random.pick(FOLDERS), random.pick(NAMES));
  }

  #files(): { path: string; node: FileNode }[] {
    const files: { path: string; node: FileNode }[] = [];
    for (const [path, node] of this.#tree.all()) {
      if (node.kind === "file" && !path.startsWith(STAGING_FOLDER)) files.push({ path, node });
    }
    return files.sort((a, b) => a.path < b.path ? -1 : 1);
  }

  #pickFile(random: Prng): { path: string; node: FileNode } | null {
    const files = this.#files();
    return files.length === 0 ? null : random.pick(files);
  }

  #folders(): string[] {
    return [...this.#tree.all()]
      .filter(([path, node]) => node.kind === "folder" && !path.startsWith(STAGING_FOLDER))
      .map(([path]) => path).sort();
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
