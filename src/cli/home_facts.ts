import type { Config } from "./config.ts";
import type { HomeFacts } from "./health.ts";
import { sizeOf } from "./health.ts";
import type { Home } from "./home.ts";

/** Takes the quick looks that the health of a home is told from. */
export async function homeFacts(
  home: Home,
  { watched, synced }: { readonly watched: string | null; readonly synced: string | null },
  config: Config,
): Promise<HomeFacts> {
  const { DiskTree } = await import("../system/disk_tree.ts");
  const free = (path: string | null) =>
    path === null ? Promise.resolve(null) : new DiskTree(path).freeBytes();
  return {
    freeBytes: { watched: await free(watched), synced: await free(synced), home: await free(home.directory) },
    databaseBytes: await sizeOf(home.databasePath),
    walBytes: await sizeOf(`${home.databasePath}-wal`),
    scanIntervalMs: config.settings.scanIntervalMs,
    nowMs: Date.now(),
  };
}
