import { showMs } from "../support/text.ts";
import type { Row } from "./report.ts";
import type { PairResults, Session } from "./session.ts";
import type { Workload } from "./workload.ts";

/** Part a: many small files, as ratios to rsync and Syncthing. */
export async function benchSmallFiles(session: Session, workload: Workload): Promise<void> {
  await benchTransfer(
    session,
    "a",
    workload,
    "≤ 3× rsync, ≤ ⅕ Syncthing",
    (own, rsync, other) =>
      both(
        rsync === null ? null : own <= 3 * rsync,
        other === null ? null : own * 5 <= other,
      ),
  );
}

/** Parts b and d: one large file, as a ratio to rsync, and the peak memory of both peers meanwhile. */
export async function benchLargeFile(
  session: Session,
  workload: Workload,
  parts: ReadonlySet<string>,
): Promise<void> {
  const moved = parts.has("b")
    ? await benchTransfer(
      session,
      "b",
      workload,
      "≤ 0.6× rsync",
      (own, rsync) => rsync === null ? null : own <= 0.6 * rsync,
      (own, rsync) => rsync === null ? [] : [`≤ 1× rsync: ${own <= rsync ? "pass" : "miss"}`],
    )
    : await session.measurePairs(workload, "moved in");
  if (!parts.has("d")) return;
  for (const side of ["sender", "receiver"] as const) {
    const own = moved.MirrorSync?.peak[side] ?? null;
    session.rows.push({
      part: "d",
      what: `peak memory of the ${side}, ${workload.title}`,
      unit: "MB",
      MirrorSync: own,
      rsync: null,
      Syncthing: moved.Syncthing?.peak[side] ?? null,
      Unison: null,
      target: "< 200 MB",
      reached: own === null ? null : own < 200e6,
      note: "",
    });
  }
}

async function benchTransfer(
  session: Session,
  part: string,
  workload: Workload,
  target: string,
  judge: (own: number, rsync: number | null, other: number | null) => boolean | null,
  remarks: (own: number, rsync: number | null) => readonly string[] = () => [],
): Promise<PairResults> {
  const rsync = await session.measureCommand("rsync", workload);
  const unison = await session.measureCommand("Unison", workload);
  const moved = await session.measurePairs(workload, "moved in");
  const before = await session.measurePairs(workload, "before start");
  const row = (how: string, pairs: PairResults): Row => {
    const own = pairs.MirrorSync?.took ?? null;
    const other = pairs.Syncthing?.took ?? null;
    return {
      part,
      what: `${workload.title}, ${how}`,
      unit: "ms",
      MirrorSync: own,
      rsync: rsync?.took ?? null,
      Syncthing: other,
      Unison: unison?.took ?? null,
      target,
      reached: own === null ? null : judge(own, rsync?.took ?? null, other),
      note: [
        ...ratios(own, rsync?.took ?? null, other),
        ...(own === null ? [] : remarks(own, rsync?.took ?? null)),
        ...spread("MirrorSync", pairs.MirrorSync?.all),
        ...spread("rsync", rsync?.all),
        ...spread("Syncthing", pairs.Syncthing?.all),
        ...spread("Unison", unison?.all),
      ].join(", "),
    };
  };
  session.rows.push(row("moved into the folder", moved), row("there before the sender starts", before));
  if (rsync !== null && rsync.flushed !== null) {
    session.rows.push({
      part,
      what: `${workload.title}, as durable: rsync --fsync`,
      unit: "ms",
      MirrorSync: moved.MirrorSync?.took ?? null,
      rsync: rsync.flushed,
      Syncthing: null,
      Unison: null,
      target: "",
      reached: null,
      note: ratios(moved.MirrorSync?.took ?? null, rsync.flushed, null).join(", "),
    });
  }
  return moved;
}

function ratios(own: number | null, rsync: number | null, other: number | null): string[] {
  const parts: string[] = [];
  if (own !== null && rsync !== null) parts.push(`${(own / rsync).toFixed(2)}× rsync`);
  if (own !== null && other !== null) parts.push(`${(other / own).toFixed(1)}× faster than Syncthing`);
  return parts;
}

/** From the quickest run to the slowest. */
function spread(name: string, all: readonly number[] | undefined): string[] {
  if (all === undefined || all.length < 2) return [];
  return [`${name} ${showMs(Math.min(...all))} to ${showMs(Math.max(...all))}`];
}

function both(a: boolean | null, b: boolean | null): boolean | null {
  if (a === null || b === null) return a ?? b;
  return a && b;
}
