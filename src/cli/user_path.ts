import { posix, win32 } from "node:path";

/** Where a path is that a user has written. */
export interface PathQuestion {
  readonly path: string;
  /** What a relative path is relative to; absolute. */
  readonly base: string;
  readonly env: (name: string) => string | undefined;
  readonly os: typeof Deno.build.os;
}

/**
 * The absolute path that is meant. A leading `~/` is the user's own folder: a shell leaves it as it is in `--watched=~/x`, and nobody
 * replaces it in a file. A folder of that name is `./~`.
 */
export function userPath({ path, base, env, os }: PathQuestion): string {
  const { resolve, join } = os === "windows" ? win32 : posix;
  const own = env(os === "windows" ? "USERPROFILE" : "HOME");
  const isOwn = path === "~" || path.startsWith("~/") || (os === "windows" && path.startsWith("~\\"));
  return isOwn && own ? resolve(join(own, path.slice(1))) : resolve(base, path);
}

/** The same on this system. */
export function userPathHere(path: string, base = Deno.cwd()): string {
  return userPath({ path, base, env: (name) => Deno.env.get(name), os: Deno.build.os });
}
