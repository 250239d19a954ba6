import { join } from "node:path";
import { arrivalOfTree } from "./arrival_of_tree.ts";
import { showMebibytes } from "./large_scenarios.ts";
import { writeRandomFile } from "./large_content.ts";
import type { ToolName } from "./report.ts";
import { placesOf, verify } from "./scenario.ts";
import type { Session } from "./session.ts";
import { Wire } from "./wire.ts";
import { SET } from "./workload.ts";

/** The share of the file that has travelled when the receiver is killed. */
const CUT_AT = 0.9;
const TARGET_PERCENT = 12;

/** Part i: how much of a large file travels again, after the receiver was killed and started again. */
export async function benchCut(session: Session, mebibytes: number): Promise<void> {
  const again: Partial<Record<ToolName, number>> = {};
  for (const name of session.toolNames()) {
    const share = await session.attempt(
      `${name}, a transfer that is cut`,
      () => measureCut(session, name, mebibytes),
    );
    if (share === null) continue;
    session.say(`${name}, cut at ${CUT_AT * 100} %: ${share.toFixed(1)} % again`);
    again[name] = share;
  }
  session.rows.push({
    part: "i",
    what: `${showMebibytes(mebibytes)}, receiver killed at ${CUT_AT * 100} %: what travelled again`,
    unit: "%",
    MirrorSync: again.MirrorSync ?? null,
    rsync: again.rsync ?? null,
    Syncthing: again.Syncthing ?? null,
    Unison: again.Unison ?? null,
    target: `< ${TARGET_PERCENT} %`,
    reached: again.MirrorSync === undefined ? null : again.MirrorSync < TARGET_PERCENT,
    note: "all bytes beyond the size of the file",
  });
}

/** In percent of the file; what a protocol adds to the content counts as travelled again. */
function measureCut(session: Session, name: ToolName, mebibytes: number): Promise<number> {
  const wire = new Wire();
  return session.withMirror(name, wire, async (mirror) => {
    const { set, copy, aside } = placesOf(mirror);
    const prepared = join(aside, SET);
    const sizeBytes = mebibytes * 2 ** 20;
    Deno.mkdirSync(prepared);
    writeRandomFile(join(prepared, "large.bin"), sizeBytes);
    const before = wire.bytes;
    await mirror.bringCut({
      what: "a large file",
      make: () => Deno.renameSync(prepared, set),
      arrived: arrivalOfTree(prepared, copy),
    }, () => wire.bytes - before >= sizeBytes * CUT_AT);
    await mirror.settled();
    await wire.quiet();
    const travelled = wire.bytes - before;
    await verify(session, mirror, "a large file after a cut");
    return (travelled - sizeBytes) / sizeBytes * 100;
  });
}
