import type { Prng } from "../../simulation/prng.ts";
import { LARGE_BYTES, selfProvingContent } from "./contents.ts";

/** What a user does, and how often in relation to the others. */
const HABITS = {
  create: 18,
  edit: 14,
  append: 12,
  replace: 16,
  truncate: 3,
  "write slowly": 3,
  "move file": 7,
  "move folder": 4,
  "delete file": 9,
  "delete folder": 1,
  recreate: 3,
  "swap kinds": 2,
  unpack: 1,
  large: 2,
  "change large": 4,
  executable: 2,
} as const;
type Habit = keyof typeof HABITS;

const FOLDERS = ["", "", "docs", "docs/deep/er", "src", "a folder", "Ärger"];
/** How a file is called that is only ever saved whole: written beside its place and renamed over it. */
export const WHOLE = ".whole";

/** What lies in a folder, by path. */
interface Listing {
  readonly files: { readonly path: string; readonly sizeBytes: number }[];
  readonly folders: string[];
  readonly bytes: number;
}

/** A user who never rests: works in one real folder, by plain file system calls, as programs do. Every choice is that of `random`. */
export class Churn {
  /** What was done so far. */
  acts = 0;
  readonly #root: string;
  readonly #random: Prng;
  readonly #maxFiles: number;
  readonly #maxBytes: number;
  /** Files that are being written slowly, with what is still to come of them. */
  readonly #open: { readonly file: Deno.FsFile; rest: Uint8Array }[] = [];

  /** @param most What the folder may hold; above it more is deleted than made. */
  constructor(root: string, random: Prng, most: { readonly files: number; readonly bytes: number }) {
    this.#root = root;
    this.#random = random;
    this.#maxFiles = most.files;
    this.#maxBytes = most.bytes;
  }

  /** Goes on until `signal`, with a pause after each act that is `everyMs` on average; then closes what is open. */
  async keepOn(everyMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.act();
      await new Promise((resolve) => setTimeout(resolve, this.#random.unit() * 2 * everyMs));
    }
    while (this.#open.length > 0) this.#writeOn();
  }

  /** Does one thing. */
  act(): void {
    this.acts++;
    if (this.#open.length > 0 && this.#random.chance(0.3)) this.#writeOn();
    const listing = this.#list();
    const full = listing.files.length > this.#maxFiles || listing.bytes > this.#maxBytes;
    const tidy = this.#random.chance(0.03) ? "delete folder" : "delete file";
    this.#do(full ? tidy : this.#habit(), listing);
  }

  #habit(): Habit {
    const habits = Object.entries(HABITS) as [Habit, number][];
    let at = this.#random.unit() * habits.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [habit, weight] of habits) if ((at -= weight) < 0) return habit;
    return "create";
  }

  #do(habit: Habit, listing: Listing): void {
    const { files } = listing;
    if (habit === "create") return this.#save(this.#newPath(), this.#small());
    if (habit === "unpack") return this.#unpack();
    if (habit === "large") return this.#save(this.#newPath(), this.#large());
    if (habit === "move folder" || habit === "delete folder") return this.#onFolder(habit, listing);
    if (habit === "write slowly") return this.#writeSlowly();
    if (files.length === 0) return;
    const largest = files.filter(({ sizeBytes }) => sizeBytes >= LARGE_BYTES);
    const { path } = this.#random.pick(habit === "change large" && largest.length > 0 ? largest : files);
    this.#onFile(habit, path);
  }

  #onFile(habit: Exclude<Habit, "create" | "unpack" | "large">, path: string): void {
    const full = this.#full(path);
    const whole = path.endsWith(WHOLE);
    switch (habit) {
      case "edit":
        return this.#save(path, this.#small());
      case "replace":
        return this.#replace(path, this.#small());
      case "append":
        if (!whole) Deno.writeFileSync(full, this.#random.bytes(this.#random.int(1, 3000)), { append: true });
        return;
      case "truncate":
        if (!whole) Deno.truncateSync(full, this.#random.int(0, Deno.statSync(full).size));
        return;
      case "change large":
        return this.#changeInside(path);
      case "executable":
        return Deno.chmodSync(full, ((Deno.statSync(full).mode ?? 0o644) & 0o777) ^ 0o100);
      case "move file":
        return this.#moveFile(path);
      case "delete file":
        return Deno.removeSync(full);
      case "recreate":
        Deno.removeSync(full);
        return this.#save(path, this.#small());
      case "swap kinds":
        Deno.removeSync(full);
        Deno.mkdirSync(full);
        return this.#save(`${path}/was a file`, this.#small());
    }
  }

  /** Bytes written into the middle of a file, a few saved in place; of a file that is only saved whole, another version. */
  #changeInside(path: string): void {
    if (path.endsWith(WHOLE)) return this.#replace(path, this.#large());
    using file = Deno.openSync(this.#full(path), { read: true, write: true });
    const size = file.statSync().size;
    for (let i = this.#random.int(1, 3); i > 0; i--) {
      file.seekSync(this.#random.int(0, size), Deno.SeekMode.Start);
      file.writeSync(this.#random.bytes(this.#random.int(1, 5000)));
    }
  }

  #save(path: string, content: Uint8Array): void {
    if (path.endsWith(WHOLE)) return this.#replace(path, content);
    if (this.#makeWay(path)) Deno.writeFileSync(this.#full(path), content);
  }

  #replace(path: string, content: Uint8Array): void {
    if (!this.#makeWay(path)) return;
    const beside = this.#full(`${path}.new`);
    Deno.writeFileSync(beside, content);
    Deno.renameSync(beside, this.#full(path));
  }

  #writeSlowly(): void {
    const path = `${this.#newFolder()}slow ${this.#random.int(0, 9)}`;
    if (!this.#makeWay(path)) return;
    const file = Deno.openSync(this.#full(path), { write: true, create: true, truncate: true });
    this.#open.push({ file, rest: this.#random.bytes(this.#random.int(1000, 400_000)) });
    this.#writeOn();
  }

  #writeOn(): void {
    const open = this.#random.pick(this.#open);
    const written = open.file.writeSync(open.rest.subarray(0, 60_000));
    open.rest = open.rest.subarray(written);
    if (open.rest.length > 0) return;
    open.file.close();
    this.#open.splice(this.#open.indexOf(open), 1);
  }

  #unpack(): void {
    const folder = `${this.#newFolder()}unpacked ${this.#random.int(0, 9)}`;
    for (let i = this.#random.int(5, 40); i > 0; i--) {
      this.#save(`${folder}/${i % 3}/file ${i}`, this.#small());
    }
  }

  #moveFile(path: string): void {
    // A file that is only saved whole stays one under its new name, and no other becomes one.
    const to = this.#newPath(path.endsWith(WHOLE));
    if (this.#makeWay(to)) Deno.renameSync(this.#full(path), this.#full(to));
  }

  #onFolder(habit: "move folder" | "delete folder", { folders }: Listing): void {
    if (folders.length === 0) return;
    const path = this.#random.pick(folders);
    if (habit === "delete folder") return Deno.removeSync(this.#full(path), { recursive: true });
    const to = `${this.#newFolder()}moved ${this.#random.int(0, 9)}`;
    if (`${to}/`.startsWith(`${path}/`) || !this.#makeWay(to) || this.#stat(to) !== null) return;
    Deno.renameSync(this.#full(path), this.#full(to));
  }

  #newFolder(): string {
    const folder = this.#random.pick(FOLDERS);
    return folder === "" ? "" : `${folder}/`;
  }

  #newPath(whole = this.#random.chance(0.4)): string {
    return `${this.#newFolder()}file ${this.#random.int(0, 200)}${whole ? WHOLE : ".txt"}`;
  }

  /** Makes the folders above a path; `false` where a folder is at the path, or a file above it. */
  #makeWay(path: string): boolean {
    if (this.#stat(path)?.isDirectory === true) return false;
    const folders = path.split("/").slice(0, -1);
    for (let i = 1; i <= folders.length; i++) {
      const above = folders.slice(0, i).join("/");
      const stat = this.#stat(above);
      if (stat === null) Deno.mkdirSync(this.#full(above));
      else if (!stat.isDirectory) return false;
    }
    return true;
  }

  #small(): Uint8Array {
    const [least, most] = this.#random.chance(0.1) ? [8000, 200_000] : [0, 8000];
    return selfProvingContent(this.#random, this.#random.int(least, most));
  }

  #large(): Uint8Array {
    return selfProvingContent(this.#random, this.#random.int(LARGE_BYTES, 8 * LARGE_BYTES));
  }

  #full(path: string): string {
    return `${this.#root}/${path}`;
  }

  #stat(path: string): Deno.FileInfo | null {
    try {
      return Deno.lstatSync(this.#full(path));
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return null;
      throw error;
    }
  }

  #list(): Listing {
    const files: { path: string; sizeBytes: number }[] = [];
    const folders: string[] = [];
    const open = [""];
    for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
      for (const { name, isDirectory } of Deno.readDirSync(this.#full(folder))) {
        const path = folder + name;
        if (!isDirectory) files.push({ path, sizeBytes: Deno.lstatSync(this.#full(path)).size });
        else {
          folders.push(path);
          open.push(`${path}/`);
        }
      }
    }
    // In the order of a directory the same seed would do other things on another disk.
    files.sort((a, b) => a.path < b.path ? -1 : 1);
    folders.sort();
    return { files, folders, bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
  }
}
