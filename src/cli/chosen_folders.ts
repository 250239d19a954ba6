import { MirrorError } from "../domain/mirror_error.ts";
import { checkFolders, type Folders } from "./folders.ts";
import type { Home } from "./home.ts";
import { userPathHere } from "./user_path.ts";

/**
 * The folders that flags and config name, checked.
 *
 * @throws {MirrorError} `wrong_usage` when one is not named, or `bad_folder`.
 */
export function chosenFolders(
  home: Home,
  flags: { readonly watched?: string; readonly synced?: string },
  config: { readonly watched: string | null; readonly synced: string | null },
): Promise<Folders> {
  const chosen = (key: "watched" | "synced"): string => {
    const flag = flags[key];
    if (flag === "") {
      throw new MirrorError("wrong_usage", `--${key} needs a folder: it was given an empty text`);
    }
    const path = flag === undefined ? config[key] : userPathHere(flag);
    if (path !== null) return path;
    throw new MirrorError(
      "wrong_usage",
      `which folder is the ${key} one? Give --${key} DIR, or set ${key} in ${home.configPath}`,
    );
  };
  return checkFolders({ watched: chosen("watched"), synced: chosen("synced"), home: home.directory });
}
