import { FileError, type FileErrorCode } from "../domain/ports.ts";

/** The system's own codes, in the words of {@linkcode FileErrorCode}; the others are `io`. */
const CODES: Readonly<Record<string, FileErrorCode>> = {
  ENOENT: "not_found",
  EEXIST: "exists",
  ENOTEMPTY: "not_empty",
  EISDIR: "is_folder",
  ENOTDIR: "not_folder",
  EACCES: "denied",
  EPERM: "denied",
  EROFS: "denied",
  ENOSPC: "no_space",
  EDQUOT: "no_space",
  EFBIG: "no_space",
  EXDEV: "cross_device",
  ENOTSUP: "unsupported",
  EOPNOTSUPP: "unsupported",
  ENOSYS: "unsupported",
  EMLINK: "unsupported",
  ENXIO: "unsupported",
  ENAMETOOLONG: "name_too_long",
  ELOOP: "symlink",
};

/** Deno's classes, for errors that bring no code of the system. */
const NAMES: Readonly<Record<string, FileErrorCode>> = {
  NotFound: "not_found",
  AlreadyExists: "exists",
  NotADirectory: "not_folder",
  IsADirectory: "is_folder",
  PermissionDenied: "denied",
  NotCapable: "denied",
  NotSupported: "unsupported",
  FilesystemLoop: "symlink",
};

/** Causes behind one of our codes that a person should be told apart. */
const CAUSES: Readonly<Record<string, string>> = {
  EROFS: "the disk is read-only",
  EDQUOT: "the disk quota is used up",
  EFBIG: "it is larger than this disk can hold",
  EIO: "the disk reports an input/output error",
  EMFILE: "too many files are open (raise the limit: ulimit -n)",
  ENFILE: "too many files are open in the whole system",
  EBUSY: "it is in use",
  ETXTBSY: "it is a program that is running",
  ESTALE: "the network drive has lost it",
  ENODEV: "the disk is gone",
  EMLINK: "it has as many names as this disk allows",
};

/** The code that the system gave (`ENOENT`, …), `""` when there is none. */
export function systemCodeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** A path as messages show it: as it is, quoted when it holds characters that a line cannot show. */
export function shownPath(path: string): string {
  // deno-lint-ignore no-control-regex -- control characters are what must not reach a terminal or a log line
  return /[\u0000-\u001f\u007f-\u009f]/.test(path) ? JSON.stringify(path) : path;
}

/**
 * Turns what Deno or Node threw into a {@linkcode FileError} that says what happened in plain words.
 *
 * @param verb What was tried, to be put before the path: `read`, `write to`, …
 * @param path As the user would name it.
 * @param overrides Codes of the system that mean something else for this call.
 */
export function toFileError(
  error: unknown,
  verb: string,
  path: string,
  overrides: Readonly<Record<string, FileErrorCode>> = {},
): FileError {
  if (error instanceof FileError) return error;
  const system = systemCodeOf(error);
  const name = error instanceof Error ? error.name : "";
  const code = overrides[system] ?? CODES[system] ?? NAMES[name] ?? "io";
  return new FileError(code, sentence(code, system, verb, shownPath(path), error), { cause: error });
}

function sentence(code: FileErrorCode, system: string, verb: string, path: string, error: unknown): string {
  const cause = CAUSES[system];
  if (cause !== undefined) return `cannot ${verb} ${path}: ${cause}`;
  switch (code) {
    case "not_found":
      return `cannot ${verb} ${path}: it is not there`;
    case "exists":
      return `cannot ${verb} ${path}: there is one already`;
    case "not_empty":
      return `cannot ${verb} ${path}: the folder is not empty`;
    case "is_folder":
      return `cannot ${verb} ${path}: it is a folder`;
    case "not_folder":
      return `cannot ${verb} ${path}: it, or something above it, is not a folder`;
    case "denied":
      return `no permission to ${verb} ${path}`;
    case "no_space":
      return `cannot ${verb} ${path}: the disk is full`;
    case "cross_device":
      return `cannot ${verb} ${path}: it is on another disk`;
    case "unsupported":
      return `cannot ${verb} ${path}: this disk does not support it`;
    case "name_too_long":
      return `cannot ${verb} ${path}: the name is too long for this disk`;
    case "symlink":
      return `cannot ${verb} ${path}: it is a symbolic link`;
    case "io":
      return `cannot ${verb} ${path}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * Turns what a watcher threw into a {@linkcode FileError} that says why folders cannot be watched, and the way out.
 *
 * @param root The watched folder as the user would name it.
 */
export function toWatchError(error: unknown, root: string): FileError {
  if (error instanceof FileError) return error;
  const text = error instanceof Error ? error.message : String(error);
  const options = { cause: error };
  const about = /about \["(.*?)"/.exec(text)?.[1] ?? root;
  const system = systemCodeOf(error);
  if (/watch limit|no space left/i.test(text) || system === "ENOSPC") {
    return new FileError(
      "io",
      `there are more folders in ${shownPath(root)} than the system lets one user watch: ` +
        "raise the limit with `sudo sysctl fs.inotify.max_user_watches=524288`",
      options,
    );
  }
  if (/too many open files/i.test(text) || system === "EMFILE") {
    return new FileError(
      "io",
      `the system lets this user watch no more folders, ${shownPath(root)} cannot be watched: ` +
        "raise the limit with `sudo sysctl fs.inotify.max_user_instances=512`, or `ulimit -n` if that is lower",
      options,
    );
  }
  const refused = toFileError(error, "watch", about);
  if (refused.code === "denied") {
    return new FileError(
      "denied",
      `no permission to watch ${
        shownPath(about)
      }: give this user the right to read and enter it (\`chmod u+rx\`)`,
      options,
    );
  }
  if (refused.code === "not_found") {
    return new FileError(
      "not_found",
      `the folder ${shownPath(about)} is not there: make it again, or mount the disk that holds it`,
      options,
    );
  }
  return refused;
}
