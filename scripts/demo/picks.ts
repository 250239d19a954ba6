import type { Tree } from "../support/tree.ts";

/** Which paths of the copied tree the demo works on; none of them lies in another. */
export interface Picks {
  readonly edited: string;
  readonly renamed: string;
  readonly deletedLater: string;
  readonly movedFolder: string;
  readonly movedLater: string;
  readonly deletedFolder: string;
}

/** Chooses files of some length, and the fullest folders. */
export function pickPaths(tree: Tree): Picks {
  const files: string[] = [];
  const folders: string[] = [];
  for (const [path, entry] of tree) {
    if (entry.kind === "file" && path.endsWith(".js") && entry.sizeBytes > 2000) files.push(path);
    if (entry.kind === "file" && path.endsWith(".ts") && files.length < 4) files.push(path);
  }
  const counts = new Map<string, number>();
  for (const [path, entry] of tree) {
    const folder = path.split("/").slice(0, -1).join("/");
    if (entry.kind === "file" && folder.includes("/")) counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  // Folders that do not lie in each other, the fullest first.
  for (const [folder] of [...counts].sort((a, b) => b[1] - a[1])) {
    if (!folders.some((other) => folder.startsWith(other + "/") || other.startsWith(folder + "/"))) {
      folders.push(folder);
    }
  }
  const [movedFolder, deletedFolder, movedLater] = folders;
  const rest = files.filter((path) =>
    ![movedFolder, deletedFolder, movedLater].some((f) => path.startsWith(f + "/"))
  );
  const [edited, renamed, deletedLater] = rest;
  if (movedLater === undefined || deletedLater === undefined) {
    throw new Error("the tree is too small for the demo");
  }
  return {
    edited: edited!,
    renamed: renamed!,
    deletedLater,
    movedFolder: movedFolder!,
    movedLater,
    deletedFolder: deletedFolder!,
  };
}

/** Number of files in a tree. */
export function countFiles(tree: Tree): number {
  return [...tree.values()].filter((entry) => entry.kind === "file").length;
}

/** The last two components, which is what a person looks for. */
export function shortly(path: string): string {
  const parts = path.split("/");
  return parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : path;
}
