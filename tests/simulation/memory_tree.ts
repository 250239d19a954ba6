import type { FileStat } from "../../src/domain/observation.ts";
import type { Folding } from "../../src/domain/plan.ts";
import { foldedPath } from "../../src/domain/plan.ts";
import {
  FileError,
  type FileErrorCode,
  type FileTree,
  type FolderEntry,
  type ReadHandle,
  type TreeWatcher,
  type WatchEvent,
  type WriteHandle,
} from "../../src/domain/ports.ts";
import { HOME_TRASH, joinPath, utf8Length } from "../../src/domain/relative_path.ts";
import { EntryJournal } from "./entry_journal.ts";
import { type Edit, type FileNode, type FolderNode, isDurable, type Node, statOf } from "./memory_nodes.ts";
import { MemoryWatcher } from "./memory_watcher.ts";
import type { Prng } from "./prng.ts";

export interface MemoryTreeOptions {
  readonly root: string;
  /** Wall time in milliseconds, for mtimes. */
  readonly now: () => number;
  readonly device?: number;
  readonly folding?: Folding;
}

/**
 * A folder in memory that behaves like one of Linux (or, where names fold, like one of macOS), and like a disk: what was not
 * flushed is lost when the power is cut. Numbers of files that are gone are given to new ones, as ext4 does.
 */
export class MemoryTree implements FileTree {
  readonly root: string;
  readonly #now: () => number;
  readonly #device: number;
  readonly #folding: Folding;
  readonly #journal = new EntryJournal();
  readonly #top: FolderNode;
  /** The home, which the path of its trash leads to. */
  readonly #home: FolderNode;
  #inodes = 2;
  readonly #freeInodes: number[] = [];
  readonly #watchers = new Set<MemoryWatcher>();

  constructor({ root, now, device = 1, folding = { case: false, unicode: false } }: MemoryTreeOptions) {
    this.root = root;
    this.#now = now;
    this.#device = device;
    this.#folding = folding;
    this.#top = this.#newFolder();
    this.#home = this.#newFolder();
  }

  // Looking.

  lstat(path: string): Promise<FileStat | null> {
    return attempt(() => {
      const node = this.nodeAt(path);
      return node === null ? null : statOf(node, this.#device);
    });
  }

  list(path: string): Promise<FolderEntry[]> {
    return attempt(() =>
      [...this.#folder("list", path).entries].map(([name, node]) => ({
        name,
        stat: statOf(node, this.#device),
        error: null,
      }))
    );
  }

  openRead(path: string): Promise<ReadHandle> {
    return attempt(() => {
      const file = this.#file("read", path);
      let closed = false;
      const mustBeOpen = () => {
        if (closed) throw new FileError("io", `cannot read ${path}: it was closed`);
      };
      return {
        opened: statOf(file, this.#device),
        stat: () =>
          attempt(() => {
            mustBeOpen();
            return statOf(file, this.#device);
          }),
        readAt: (into: Uint8Array, offset: number) =>
          attempt(() => {
            mustBeOpen();
            const part = file.content.subarray(offset, offset + into.length);
            into.set(part);
            return part.length;
          }),
        close: () => {
          closed = true;
        },
      };
    });
  }

  readSmall(path: string, sizeBytes: number): Promise<{ content: Uint8Array; stat: FileStat }> {
    return attempt(() => {
      const file = this.#file("read", path);
      return { content: file.content.slice(0, sizeBytes), stat: statOf(file, this.#device) };
    });
  }

  freeBytes(): Promise<number | null> {
    return Promise.resolve(10 * 1024 ** 3);
  }

  /** What is at a path, for whoever stands outside of the program; `null` when nothing is. */
  nodeAt(path: string): Node | null {
    const [start, names] = this.#wayTo(path);
    let node: Node = start;
    for (const name of names) {
      if (node.kind !== "folder") return null;
      const next: Node | undefined = node.entries.get(this.#nameIn(node, name));
      if (next === undefined) return null;
      node = next;
    }
    return node;
  }

  /** Every path with what is there, parents first. */
  *all(folder = ""): IterableIterator<[path: string, node: Node]> {
    const at = this.nodeAt(folder);
    if (at?.kind !== "folder") return;
    for (const [name, node] of at.entries) {
      const path = joinPath(folder, name);
      yield [path, node];
      if (node.kind === "folder") yield* this.all(path);
    }
  }

  // Changing.

  create(path: string): Promise<WriteHandle> {
    return attempt(() => {
      return this.#writer(this.#create(path), path);
    });
  }

  #create(path: string): FileNode {
    const [folder, name] = this.#place("create", path);
    if (folder.entries.has(name)) throw refused("exists", "create", path, "there is one already");
    const file: FileNode = {
      kind: "file",
      inode: this.#newInode(),
      content: new Uint8Array(0),
      ...this.#times(),
      executable: false,
      links: 1,
      durable: null,
    };
    this.#edit([{ folder, name, node: file }]);
    this.#tell("created", path);
    return file;
  }

  reopen(path: string): Promise<WriteHandle> {
    return attempt(() => this.#writer(this.#file("write to", path), path));
  }

  #writer(file: FileNode, path: string): WriteHandle {
    let closed = false;
    const mustBeOpen = () => {
      if (closed) throw new FileError("io", `cannot write to ${path}: it was closed`);
    };
    return {
      write: (bytes) =>
        attempt(() => {
          mustBeOpen();
          this.#setContent(file, concat(file.content, bytes));
          this.#tell("modified", path);
        }),
      cutTo: (sizeBytes) => {
        mustBeOpen();
        const content = new Uint8Array(sizeBytes);
        content.set(file.content.subarray(0, sizeBytes));
        this.#setContent(file, content);
        this.#tell("modified", path);
      },
      setTimes: (mtimeMs) => {
        mustBeOpen();
        this.#setTimes(file, mtimeMs);
        this.#tell("modified", path);
      },
      setExecutable: (executable) => {
        mustBeOpen();
        this.#setExecutable(file, executable);
        this.#tell("modified", path);
      },
      flush: () =>
        attempt(() => {
          mustBeOpen();
          flushFile(file);
        }),
      stat: () =>
        attempt(() => {
          mustBeOpen();
          return statOf(file, this.#device);
        }),
      close: () => {
        if (closed) return;
        closed = true;
        this.#tell("closed", path);
      },
    };
  }

  link(from: string, to: string): Promise<void> {
    return attempt(() => {
      const node = this.#node("link", from);
      if (node.kind === "folder") throw refused("is_folder", "link", from, "it is a folder");
      const [folder, name] = this.#place("link", to);
      if (folder.entries.has(name)) throw refused("exists", "link", to, "there is one already");
      node.links++;
      node.ctimeMs = this.#times().ctimeMs;
      this.#edit([{ folder, name, node }]);
      this.#tell("created", to);
    });
  }

  async replace(from: string, to: string, aside: string): Promise<void> {
    await this.link(to, aside);
    await this.rename(from, to);
  }

  rename(from: string, to: string): Promise<void> {
    return attempt(() => {
      const node = this.#node("rename", from);
      const [fromFolder, fromName] = this.#place("rename", from);
      const [toFolder, there] = this.#place("rename", to);
      const old = toFolder.entries.get(there) ?? null;
      const sameEntry = fromFolder === toFolder && fromName === there;
      if (old !== null && !sameEntry) {
        // Two names of one file: POSIX says that nothing happens.
        if (old === node) return;
        if (node.kind === "file" && old.kind === "folder") {
          throw refused("is_folder", "rename", to, "it is a folder");
        }
        if (node.kind === "folder" && old.kind === "file") {
          throw refused("not_folder", "rename", to, "it is not a folder");
        }
        if (old.kind === "folder" && old.entries.size > 0) {
          throw refused("not_empty", "rename", to, "the folder is not empty");
        }
      }
      if (node.kind === "folder" && (to === from || to.startsWith(`${from}/`))) {
        if (to === from) return;
        throw refused("io", "rename", from, "it would be inside itself");
      }
      const toName = to.slice(to.lastIndexOf("/") + 1);
      if (sameEntry && toName === fromName) return;
      const edits: Edit[] = [{ folder: fromFolder, name: fromName, node: null }];
      if (!sameEntry && old !== null) {
        edits.push({ folder: toFolder, name: there, node: null });
        this.#unlinked(old);
      }
      edits.push({ folder: toFolder, name: toName, node });
      node.ctimeMs = this.#times().ctimeMs;
      this.#edit(edits);
      this.#tell("removed", from);
      this.#tell("renamed", to);
    });
  }

  unlink(path: string): Promise<void> {
    return attempt(() => {
      const node = this.#node("delete", path);
      if (node.kind === "folder") throw refused("is_folder", "delete", path, "it is a folder");
      const [folder, name] = this.#place("delete", path);
      this.#unlinked(node);
      this.#edit([{ folder, name, node: null }]);
      this.#tell("removed", path);
    });
  }

  mkdir(path: string): Promise<void> {
    return attempt(() => {
      const [folder, name] = this.#place("make the folder", path);
      if (folder.entries.has(name)) throw refused("exists", "make the folder", path, "there is one already");
      this.#edit([{ folder, name, node: this.#newFolder() }]);
      this.#tell("created", path);
    });
  }

  rmdir(path: string): Promise<void> {
    return attempt(() => {
      const node = this.#node("remove the folder", path);
      if (node.kind !== "folder") {
        throw refused("not_folder", "remove the folder", path, "it is not a folder");
      }
      if (node.entries.size > 0) throw refused("not_empty", "remove the folder", path, "it is not empty");
      const [folder, name] = this.#place("remove the folder", path);
      this.#unlinked(node);
      this.#edit([{ folder, name, node: null }]);
      this.#tell("removed", path);
    });
  }

  setTimes(path: string, mtimeMs: number): Promise<void> {
    return attempt(() => {
      this.#setTimes(this.#node("set the time of", path), mtimeMs);
      this.#tell("modified", path);
    });
  }

  setExecutable(path: string, executable: boolean): Promise<void> {
    return attempt(() => {
      const node = this.#node("change the mode of", path);
      if (node.kind === "file") this.#setExecutable(node, executable);
      this.#tell("modified", path);
    });
  }

  copyMode(from: string, to: string): Promise<void> {
    return attempt(() => {
      const source = this.#node("change the mode of", from);
      const target = this.#node("change the mode of", to);
      if (source.kind === "file" && target.kind === "file") this.#setExecutable(target, source.executable);
    });
  }

  flushFile(path: string): Promise<void> {
    return attempt(() => flushFile(this.#file("flush", path)));
  }

  flushFolder(path: string): Promise<void> {
    return attempt(() => this.#journal.flush(this.#folder("flush", path)));
  }

  watch(): TreeWatcher {
    const watcher: MemoryWatcher = new MemoryWatcher(() => this.#watchers.delete(watcher));
    this.#watchers.add(watcher);
    return watcher;
  }

  /** A user's program saves a file, all at once; `closes` says whether it closes it then. */
  save(path: string, content: Uint8Array, closes = true): void {
    let node = this.nodeAt(path);
    if (node === null) {
      this.#create(path);
      node = this.nodeAt(path);
    }
    if (node?.kind !== "file") throw refused("is_folder", "write to", path, "it is a folder");
    this.#setContent(node, content);
    this.#tell("modified", path);
    if (closes) this.#tell("closed", path);
  }

  // Power.

  /** A user's program has saved and flushed: all of this path is on the disk. */
  settle(path: string): void {
    const names = path === "" ? [] : path.split("/");
    for (let i = 0; i <= names.length; i++) {
      const node = this.nodeAt(names.slice(0, i).join("/"));
      if (node?.kind === "folder") this.#journal.flush(node);
      else if (node !== null) flushFile(node);
    }
  }

  /**
   * The power is cut. What was not flushed is lost, or not, as chance will have it: entries of folders, contents (nothing of them, a
   * part, zeros in their place), times.
   *
   * @param survives How likely it is that a change is on the disk all the same.
   */
  cutPower(random: Prng, survives: number): void {
    this.#journal.cutPower(random, survives);
    this.#watchers.clear();
    this.#freeInodes.length = 0;
    const seen = new Set<Node>();
    const restore = (node: Node) => {
      if (node.kind === "file") node.links++;
      if (seen.has(node)) return;
      seen.add(node);
      if (node.kind === "file") {
        node.links = 1;
        loseContent(node, random, survives);
        return;
      }
      node.entries.clear();
      for (const [name, child] of node.durable) {
        node.entries.set(name, child);
        restore(child);
      }
    };
    restore(this.#top);
    restore(this.#home);
  }

  // Inside.

  #wayTo(path: string): [start: FolderNode, names: string[]] {
    if (path !== HOME_TRASH && !path.startsWith(`${HOME_TRASH}/`)) {
      return [this.#top, path === "" ? [] : path.split("/")];
    }
    return [
      this.#home,
      ["trash", ...path.slice(HOME_TRASH.length + 1).split("/")].filter((name) => name !== ""),
    ];
  }

  #newFolder(): FolderNode {
    return {
      kind: "folder",
      inode: this.#newInode(),
      entries: new Map(),
      durable: new Map(),
      ...this.#times(),
    };
  }

  #newInode(): number {
    // A number that could come back with a lost change must not be given to another file.
    return (this.#journal.isEmpty ? this.#freeInodes.pop() : undefined) ?? this.#inodes++;
  }

  #times(): { mtimeMs: number; ctimeMs: number } {
    const now = Math.floor(this.#now());
    // The runtime gives ctime in whole seconds.
    return { mtimeMs: now, ctimeMs: Math.floor(now / 1000) * 1000 };
  }

  #edit(edits: readonly Edit[]): void {
    for (const { folder, name, node } of edits) {
      if (node === null) folder.entries.delete(name);
      else folder.entries.set(name, node);
      Object.assign(folder, this.#times());
    }
    this.#journal.note(edits);
  }

  #unlinked(node: Node): void {
    if (node.kind === "file") {
      node.ctimeMs = this.#times().ctimeMs;
      if (--node.links > 0) return;
    }
    this.#freeInodes.push(node.inode);
  }

  #setContent(file: FileNode, content: Uint8Array): void {
    file.content = content;
    Object.assign(file, this.#times());
  }

  #setTimes(node: Node, mtimeMs: number): void {
    node.mtimeMs = Math.floor(mtimeMs);
    node.ctimeMs = this.#times().ctimeMs;
  }

  #setExecutable(file: FileNode, executable: boolean): void {
    file.executable = executable;
    file.ctimeMs = this.#times().ctimeMs;
  }

  /** The name under which a folder knows what is asked for: another spelling of it where names fold. */
  #nameIn(folder: FolderNode, name: string): string {
    if (folder.entries.has(name) || (!this.#folding.case && !this.#folding.unicode)) return name;
    const folded = foldedPath(name, this.#folding);
    for (const known of folder.entries.keys()) if (foldedPath(known, this.#folding) === folded) return known;
    return name;
  }

  #node(verb: string, path: string): Node {
    const node = this.nodeAt(path);
    if (node !== null) return node;
    this.#place(verb, path); // says so when something above is no folder
    throw refused("not_found", verb, path, "it is not there");
  }

  #file(verb: string, path: string): FileNode {
    const node = this.#node(verb, path);
    if (node.kind === "folder") throw refused("is_folder", verb, path, "it is a folder");
    return node;
  }

  #folder(verb: string, path: string): FolderNode {
    const node = this.#node(verb, path);
    if (node.kind !== "folder") throw refused("not_folder", verb, path, "it is not a folder");
    return node;
  }

  /** The folder that holds a path, and its name there. */
  #place(verb: string, path: string): [folder: FolderNode, name: string] {
    const slash = path.lastIndexOf("/");
    const name = path.slice(slash + 1);
    if (utf8Length(name) > 255) throw refused("name_too_long", verb, path, "the name is too long");
    const [start, names] = this.#wayTo(path);
    let node: Node = start;
    for (const above of names.slice(0, -1)) {
      if (node.kind !== "folder") throw refused("not_folder", verb, path, "a file is above it");
      const next: Node | undefined = node.entries.get(this.#nameIn(node, above));
      if (next === undefined) throw refused("not_found", verb, path, "it is not there");
      node = next;
    }
    if (node.kind !== "folder") throw refused("not_folder", verb, path, "a file is above it");
    return [node, this.#nameIn(node, name)];
  }

  #tell(kind: WatchEvent["kind"], path: string): void {
    for (const watcher of this.#watchers) watcher.tell({ kind, paths: [path] });
  }
}

/** A refusal becomes a rejection, as with the real tree. */
function attempt<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    return Promise.reject(error);
  }
}

function refused(code: FileErrorCode, verb: string, path: string, why: string): FileError {
  return new FileError(code, `cannot ${verb} ${path}: ${why}`);
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a);
  joined.set(b, a.length);
  return joined;
}

function flushFile(file: FileNode): void {
  file.durable = { content: file.content, mtimeMs: file.mtimeMs, executable: file.executable };
}

function loseContent(file: FileNode, random: Prng, survives: number): void {
  if (isDurable(file)) return;
  if (!random.chance(survives)) {
    const { durable, content } = file;
    const kept = durable?.content ?? new Uint8Array(0);
    if (durable !== null && durable.content === content) {
      // Only times or mode were not flushed.
      file.mtimeMs = durable.mtimeMs;
      file.executable = durable.executable;
    } else {
      const remains = random.pick(["nothing", "part", "zeros"]);
      const sizeBytes = remains === "part" ? random.int(kept.length, content.length) : content.length;
      if (remains === "nothing") {
        file.content = kept;
        if (durable !== null) file.mtimeMs = durable.mtimeMs;
      } else {
        const lost = new Uint8Array(Math.max(0, sizeBytes));
        const whole = remains === "part" ? content : kept;
        lost.set(whole.subarray(0, lost.length));
        file.content = lost;
      }
      file.executable = durable?.executable ?? random.chance(0.5) ? file.executable : false;
    }
  }
  flushFile(file);
}
