import { isConflictCopyOf } from "../domain/conflict_name.ts";
import { FileError } from "../domain/ports.ts";
import { joinPath, nameOf, parentOf, type RelativePath } from "../domain/relative_path.ts";
import { localNote } from "../store/log.ts";
import { hasRealParents, type RecoverParts } from "./recover_path.ts";

/** After a crash: has the log tell of conflict copies that were made beside paths and not written down before it came. */
export async function noteCopies(
  { tree, store, clock }: RecoverParts,
  paths: readonly RelativePath[],
): Promise<void> {
  const byFolder = new Map<string, RelativePath[]>();
  for (const path of paths) {
    const folder = parentOf(path) ?? "";
    byFolder.set(folder, [...byFolder.get(folder) ?? [], path]);
  }
  const found = new Map<string, RelativePath>();
  for (const [folder, within] of byFolder) {
    try {
      if (!await hasRealParents(tree, within[0]!)) continue;
      for (const { name } of await tree.list(folder)) {
        if (!name.includes(".conflict-")) continue;
        const path = within.find((path) => isConflictCopyOf(name, nameOf(path)));
        if (path !== undefined) found.set(joinPath(folder, name), path);
      }
    } catch (error) {
      // The copies are there all the same: what is closed to us, or has just gone, keeps nobody from starting.
      if (!(error instanceof FileError) || error.code === "io") throw error;
    }
  }
  const noted = store.log.noted("conflict", [...found.keys()]);
  store.transaction(() => {
    for (const [copy, path] of found) {
      if (noted.has(copy)) continue;
      const message = `the version of ${path} that was edited here`;
      store.log.add(localNote(clock.now(), "conflict", copy, "conflict", message));
    }
  });
}
