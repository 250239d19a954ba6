import * as v from "valibot";
import type { RunStatus } from "../domain/status.ts";

const count = v.number();
const PENDING = v.object({ waiting: count, refused: count, held: count, bytes: count });
const RUN_STATUS: v.GenericSchema<unknown, RunStatus> = v.object({
  pid: count,
  startedMs: count,
  atMs: count,
  name: v.string(),
  fingerprint: v.string(),
  listen: v.nullable(v.string()),
  watched: v.string(),
  synced: v.string(),
  peers: v.array(v.object({
    name: v.string(),
    fingerprint: v.string(),
    address: v.nullable(v.string()),
    link: v.picklist(["up", "connecting", "down"]),
    protocol: v.nullable(v.picklist(["full", "plain"])),
    remoteAddress: v.nullable(v.string()),
    sinceMs: count,
    reason: v.nullable(v.string()),
    pending: PENDING,
    clockAheadMs: v.nullable(count),
    inSync: v.boolean(),
  })),
  transfers: v.array(v.object({
    direction: v.picklist(["sending", "receiving"]),
    peer: v.string(),
    path: v.string(),
    doneBytes: count,
    sizeBytes: count,
    startedMs: count,
    bytesPerSecond: v.nullable(count),
    leftMs: v.nullable(count),
  })),
  limitBytesPerSecond: v.nullable(count),
  rate: v.object({ sentPerSecond: count, receivedPerSecond: count }),
  total: v.object({ sentBytes: count, receivedBytes: count, sent: count, received: count }),
  watcher: v.picklist(["watching", "scanning", "starting"]),
  scan: v.object({ running: v.boolean(), lastMs: v.nullable(count), lastTookMs: v.nullable(count) }),
  skipped: count,
  lastPath: v.nullable(v.string()),
  problems: v.array(v.object({ code: v.string(), message: v.string(), sinceMs: count })),
});

/** What a run wrote of itself under the fact `run`; `null` when there is nothing, or a version that this one cannot read. */
export function readRunStatus(fact: unknown): RunStatus | null {
  const parsed = v.safeParse(RUN_STATUS, fact);
  return parsed.success ? parsed.output : null;
}

/** The fact under which a run leaves its folders: flags may have named them, and then the config does not. */
export const FOLDERS_FACT = "folders";

const FOLDERS = v.object({ watched: v.string(), synced: v.string() });

/** The folders of the latest run; `null` when there was none. */
export function readFolders(fact: unknown): { readonly watched: string; readonly synced: string } | null {
  const parsed = v.safeParse(FOLDERS, fact);
  return parsed.success ? parsed.output : null;
}
