/** How a file that is nobody else's business is too open, as its mode in octal; `null` when it is not, or the system has no modes. */
export function tooOpen(info: Deno.FileInfo, forbidden: number = 0o077): string | null {
  if (Deno.build.os === "windows" || info.mode === null || (info.mode & forbidden) === 0) return null;
  return (info.mode & 0o777).toString(8).padStart(3, "0");
}

/** A path as one word of a shell's command line. */
export function quotePath(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
