import { foldedPath, type Folding } from "../domain/plan.ts";
import type { FileTree } from "../domain/ports.ts";
import { joinPath, nameOf, parentOf, type RelativePath } from "../domain/relative_path.ts";

/** On a folder that takes names for one: another name, which is what the disk means when it is asked for this path. */
export async function twinOf(
  tree: FileTree,
  folding: Folding,
  path: RelativePath,
): Promise<RelativePath | null> {
  if (!folding.case && !folding.unicode) return null;
  const folder = parentOf(path) ?? "";
  const folded = foldedPath(nameOf(path), folding);
  for (const entry of await tree.list(folder)) {
    // Some disks give every name back decomposed, that of the path itself too.
    const name = entry.name.normalize("NFC");
    if (name !== nameOf(path) && foldedPath(name, folding) === folded) {
      return joinPath(folder, name) as RelativePath;
    }
  }
  return null;
}
