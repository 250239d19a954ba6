import { MirrorError } from "../domain/mirror_error.ts";
import type { Store } from "../store/store.ts";
import type { Config } from "./config.ts";
import type { Folders } from "./folders.ts";
import type { Home } from "./home.ts";
import { FOLDERS_FACT, readFolders } from "./run_fact.ts";

/**
 * The folders of this home as the config names them, else as the latest run had them.
 *
 * @throws {MirrorError} `failed` when nothing was mirrored here yet.
 */
export function lastFolders(home: Home, config: Pick<Config, "watched" | "synced">, store: Store): Folders {
  const last = readFolders(store.facts.get(FOLDERS_FACT));
  const watched = config.watched ?? last?.watched ?? null;
  const synced = config.synced ?? last?.synced ?? null;
  if (watched !== null && synced !== null) return { watched, synced };
  throw new MirrorError(
    "failed",
    `nothing was mirrored here yet: start it with  ${home.command("run --watched DIR --synced DIR")}`,
  );
}
