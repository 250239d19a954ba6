import { MirrorError } from "./mirror_error.ts";

declare const brand: unique symbol;

/**
 * A path that cannot leave its root: relative, `/`-separated, Unicode NFC, no empty, `.` or `..` component, no NUL.
 * Made only by {@linkcode parseRelativePath} and the functions of this file.
 */
export type RelativePath = string & { readonly [brand]: "RelativePath" };

/** The longest path that travels, in bytes of UTF-8. */
export const MAX_PATH_BYTES = 4096;

/**
 * The most parts of a path that travel. What the runtime does to open a file grows with the square of them, and each new folder is
 * opened to be flushed: with 2,000, which 4,096 bytes have room for, one operation would keep all others waiting for minutes.
 */
export const MAX_PATH_PARTS = 256;

/**
 * The folder at the top of `synced/` in which content is staged (the same file system, so that a rename is atomic).
 * No path with this name as a component is ever sent or accepted.
 */
export const STAGING_FOLDER = ".mirrorsync-staging";

/**
 * The home's trash, as a path of the tree of `synced/`: the real folder is in the home, and the tree leads there (see DiskTree).
 */
export const HOME_TRASH = `${STAGING_FOLDER}/trash`;

/** The trash where the home is on another file system than `synced/`: no rename leads there, so it stays beside the staged files. */
export const LOCAL_TRASH = `${STAGING_FOLDER}/trash-here`;

const encoder = new TextEncoder();
// deno-lint-ignore no-control-regex -- the range of ASCII
const NOT_ASCII = /[^\u0000-\u007f]/;

/** Bytes of UTF-8 in `text`. */
export function utf8Length(text: string): number {
  return NOT_ASCII.test(text) ? encoder.encode(text).length : text.length;
}

/**
 * Reads a path from the wire or from a disk.
 *
 * @throws {MirrorError} `bad_path` with the rule that is broken, `reserved_name` for MirrorSync's own staging folder,
 * `name_too_long` past 4,096 bytes or 256 parts.
 */
export function parseRelativePath(text: string): RelativePath {
  const shown = JSON.stringify(text.length > 200 ? text.slice(0, 200) + "…" : text);
  if (text === "") throw new MirrorError("bad_path", "the path is empty");
  if (text.includes("\0")) throw new MirrorError("bad_path", `the path ${shown} contains NUL`);
  if (!text.isWellFormed()) throw new MirrorError("bad_path", `the path ${shown} is not valid Unicode`);
  if (text.startsWith("/")) throw new MirrorError("bad_path", `the path ${shown} is absolute`);
  if (text.startsWith("\\\\")) throw new MirrorError("bad_path", `the path ${shown} is a UNC path`);
  if (/^[A-Za-z]:(?:[\\/]|$)/.test(text)) {
    throw new MirrorError("bad_path", `the path ${shown} starts with a drive letter`);
  }
  if (text.length > MAX_PATH_BYTES || utf8Length(text) > MAX_PATH_BYTES) {
    throw new MirrorError("name_too_long", `the path ${shown} is longer than ${MAX_PATH_BYTES} bytes`);
  }
  if (text.normalize("NFC") !== text) {
    throw new MirrorError("bad_path", `the path ${shown} is not in Unicode form NFC`);
  }
  if (depthOf(text) > MAX_PATH_PARTS) {
    throw new MirrorError("name_too_long", `the path ${shown} has more than ${MAX_PATH_PARTS} parts`);
  }
  for (const component of text.split("/")) {
    if (component === "") throw new MirrorError("bad_path", `the path ${shown} has an empty component`);
    if (component === "." || component === "..") {
      throw new MirrorError("bad_path", `the path ${shown} has a component "${component}"`);
    }
    // In any case of letters: a disk that folds case would take it for the folder.
    if (component.toLowerCase() === STAGING_FOLDER) {
      throw new MirrorError(
        "reserved_name",
        `the path ${shown} uses the name of MirrorSync's staging folder`,
      );
    }
  }
  return text as RelativePath;
}

/** The folder that holds `path`, or `null` at the top. */
export function parentOf(path: RelativePath): RelativePath | null {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? null : path.slice(0, slash) as RelativePath;
}

/** The last component of `path`. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** All the folders above `path`, the topmost first. */
export function ancestorsOf(path: RelativePath): RelativePath[] {
  const found: RelativePath[] = [];
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) {
    found.push(path.slice(0, slash) as RelativePath);
  }
  return found;
}

/** Number of components. */
export function depthOf(path: string): number {
  let depth = 1;
  for (let i = 0; i < path.length; i++) if (path.charCodeAt(i) === 0x2f) depth++;
  return depth;
}

/** Whether `path` lies below `folder` (not `folder` itself); everything lies below the root, which is `""`. */
export function isBelow(path: string, folder: string): boolean {
  return folder === "" ? path !== "" : path.startsWith(folder + "/");
}

/** Joins a folder (`""` is the root) and a name, neither of them checked. */
export function joinPath(folder: string, name: string): string {
  return folder === "" ? name : `${folder}/${name}`;
}

const WINDOWS_RESERVED = /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(?:\.|$)/i;
// deno-lint-ignore no-control-regex -- control characters are exactly what Windows refuses in a name
const WINDOWS_FORBIDDEN = /[\u0000-\u001f<>:"|?*\\]/;

/**
 * Checks that the receiver's own system can hold a path under exactly this name.
 * Rules for Windows: Microsoft, "Naming Files, Paths, and Namespaces".
 *
 * @throws {MirrorError} `unsupported_name` or `name_too_long`.
 */
export function checkNameOn(system: "windows" | "unix", path: RelativePath): void {
  for (const component of path.split("/")) {
    // NTFS counts UTF-16 units, the others bytes.
    if ((system === "windows" ? component.length : utf8Length(component)) > 255) {
      const unit = system === "windows" ? "characters" : "bytes";
      throw new MirrorError(
        "name_too_long",
        `a name in ${JSON.stringify(path.slice(0, 200))} is longer than 255 ${unit}: rename it to send it`,
      );
    }
    if (system === "unix") continue;
    if (WINDOWS_FORBIDDEN.test(component) || WINDOWS_RESERVED.test(component) || /[. ]$/.test(component)) {
      throw new MirrorError(
        "unsupported_name",
        `${JSON.stringify(path)}: Windows cannot hold the name ${
          JSON.stringify(component)
        }: rename it to send it`,
      );
    }
  }
}
