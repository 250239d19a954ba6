import ignore, { type Ignore } from "ignore";
import { FileError } from "../domain/ports.ts";
import { joinPath } from "../domain/relative_path.ts";

/** The file that says what in its folder and below is not mirrored, in the syntax of `.gitignore`. */
export const IGNORE_FILE = ".mirrorsyncignore";

/** The library remembers its verdict on every path; after so many it is made anew, so that memory stays bounded. */
const REMEMBERED_VERDICTS = 10_000;

/** A rule is turned into a regular expression, and the engine refuses one that is some ten times as long. */
const MAX_RULE_LENGTH = 1_000;

/** The rules of one ignore file. */
export class IgnoreFile {
  /** The folder that holds the file. */
  readonly folder: string;
  readonly #rules: Ignore;
  #matcher: Ignore;
  #verdicts = 0;

  private constructor(folder: string, rules: Ignore) {
    this.folder = folder;
    this.#rules = rules;
    this.#matcher = rules;
  }

  /**
   * @param folder The folder that holds the file, in NFC; `""` is the root.
   * @throws {FileError} `io` when a line is too long for a rule. To leave it out would send what somebody does not want to be sent.
   */
  static parse(folder: string, text: string): IgnoreFile {
    const long = text.split("\n").findIndex((line) => line.length > MAX_RULE_LENGTH && !line.startsWith("#"));
    if (long >= 0) {
      const what = `line ${
        long + 1
      } has more than ${MAX_RULE_LENGTH} characters, which is too long for a rule`;
      throw new FileError("io", `cannot use ${joinPath(folder, IGNORE_FILE)}: ${what}`);
    }
    return new IgnoreFile(folder, matcher().add(text.normalize("NFC")));
  }

  /** What the last rule that matches says; `null` when none does. */
  verdict(path: string, isFolder: boolean): "ignored" | "included" | null {
    if (this.#verdicts++ === REMEMBERED_VERDICTS) {
      this.#matcher = matcher().add(this.#rules);
      this.#verdicts = 0;
    }
    const below = this.#below(path);
    const result = this.#matcher.test(isFolder ? `${below}/` : below);
    return result.ignored ? "ignored" : result.unignored ? "included" : null;
  }

  /**
   * The same rules for what lies in `folder`, which is itself included. Where these rules alone would ignore it and a deeper file
   * includes it again, the library would go on to ignore everything in it; git then looks at each name by itself.
   */
  in(folder: string): IgnoreFile {
    if (folder === this.folder || this.verdict(folder, true) !== "ignored") return this;
    const pattern = `!/${this.#below(folder).replace(/[\\*?[\]]/g, "\\$&")}/`;
    return new IgnoreFile(this.folder, matcher().add(this.#rules).add({ pattern }));
  }

  #below(path: string): string {
    return this.folder === "" ? path : path.slice(this.folder.length + 1);
  }
}

function matcher(): Ignore {
  return ignore({ ignorecase: false });
}

/**
 * The ignore rules that act on the entries of one folder: those of its own ignore file and of the folders above, the deepest first.
 * Like git: the last rule that matches wins, a deeper file overrides one above it, and nothing in an ignored folder can be included again
 * (nobody asks about it). Pure: the texts are handed in.
 */
export class IgnoreRules {
  readonly #folder: string;
  readonly #files: readonly IgnoreFile[];

  private constructor(folder: string, files: readonly IgnoreFile[]) {
    this.#folder = folder;
    this.#files = files;
  }

  /** The rules at the top. @param own Its ignore file; `null` when there is none. */
  static root(own: IgnoreFile | null): IgnoreRules {
    return new IgnoreRules("", own === null ? [] : [own]);
  }

  /**
   * The rules inside a folder of this one, which must not be ignored itself.
   *
   * @param name The folder's name, in NFC.
   * @param own Its ignore file; `null` when there is none.
   */
  enter(name: string, own: IgnoreFile | null): IgnoreRules {
    const folder = this.#pathOf(name);
    const inherited = this.#files.map((file) => file.in(folder));
    return new IgnoreRules(folder, own === null ? inherited : [own, ...inherited]);
  }

  /** Whether an entry of the folder is ignored. @param name In NFC. */
  ignores(name: string, isFolder: boolean): boolean {
    if (this.#files.length === 0) return false;
    const path = this.#pathOf(name);
    for (const file of this.#files) {
      const verdict = file.verdict(path, isFolder);
      if (verdict !== null) return verdict === "ignored";
    }
    return false;
  }

  #pathOf(name: string): string {
    return this.#folder === "" ? name : `${this.#folder}/${name}`;
  }
}
