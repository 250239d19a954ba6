import { MirrorError } from "../domain/mirror_error.ts";
import { FileError, type FileTree, type Random } from "../domain/ports.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { type CorrectParts, correctSynced, type DamagedVersion } from "./correct.ts";
import type { Paths, Repaired } from "./exchange.ts";
import { type MendParts, mendWatched } from "./mend.ts";

export interface RepairParts {
  readonly store: CorrectParts["store"];
  readonly watched: FileTree;
  readonly synced: FileTree;
  readonly clock: CorrectParts["clock"];
  readonly random: Random;
  readonly stopped: () => boolean;
  readonly listFor: CorrectParts["listFor"];
  readonly exclusive: CorrectParts["exclusive"];
  readonly fetch: MendParts["fetch"];
}

/**
 * Repairs what is damaged on this side: files of `watched/` by what the peer holds of them, at once; files of `synced/` by
 * correcting their rows, after which a comparison of trees must follow.
 */
export async function repairHere(parts: RepairParts, peer: number, paths: Paths): Promise<Repaired> {
  const damaged: DamagedVersion[] = [];
  const mended: RelativePath[] = [];
  const failed: Repaired["failed"][number][] = [];
  const attempt = async (side: "watched" | "synced", path: RelativePath, work: () => Promise<void>) => {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof MirrorError || error instanceof FileError)) throw error;
      failed.push({ side, path, reason: error.message.slice(0, 2000) });
    }
  };
  for (const path of paths.watched) {
    await attempt("watched", path, async () => {
      await mendWatched({ ...parts, tree: parts.watched }, path);
      mended.push(path);
    });
  }
  for (const path of paths.synced) {
    await attempt("synced", path, async () => {
      const version = await correctSynced({ ...parts, tree: parts.synced }, peer, path);
      if (version !== null) damaged.push(version);
    });
  }
  return { damaged, mended, failed };
}
