import { MirrorError } from "../domain/mirror_error.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import { sameMark } from "../receive/apply.ts";
import type { DamagedVersion } from "../verify/correct.ts";
import { ask, jsonOf, parseRepaired, type Paths } from "../verify/exchange.ts";
import { type Finding, parseReport } from "../verify/finding.ts";
import { keepDamagedList } from "../verify/known_chunks.ts";
import { readHere } from "../verify/read_side.ts";
import { repairHere } from "../verify/repair_here.ts";
import { type AskedPartner, type OpenFinding, pathsOf, reasonOf, type TaskParts } from "./verify_task.ts";

/** Paths that one request names: their ranges must fit into it. */
const BATCH = 100;
/** How long the peers may get no further before what was not repaired is given up. */
const PATIENCE_MS = 30_000;
const LOOK_MS = 100;

type Side = "watched" | "synced";

/**
 * Repairs with the help of one peer. The sources come first: files in either `watched/` are built anew of their good bytes and those
 * that the other side holds. Then each `synced/` is brought what it has lost, but only of files whose source has just been read and
 * found right: damage must not travel.
 */
export class RepairTask {
  readonly #parts: TaskParts;
  readonly #partner: AskedPartner;
  readonly #open: readonly OpenFinding[];

  constructor(parts: TaskParts, partner: AskedPartner, open: readonly OpenFinding[]) {
    this.#parts = parts;
    this.#partner = partner;
    this.#open = open;
  }

  async run(): Promise<void> {
    const ours = this.#findings(null), theirs = this.#findings(this.#partner.peer.number);
    const isDamaged = ({ verdict }: Finding) => verdict === "damaged";
    const steps: readonly [findings: readonly OpenFinding[], work: (f: OpenFinding[]) => Promise<void>][] = [
      [ours("watched").filter(isDamaged), (batch) => this.#mendOurs(batch)],
      [theirs("watched").filter(isDamaged), (batch) => this.#mendTheirs(batch)],
      [ours("synced"), (batch) => this.#refillOurs(batch)],
      [theirs("synced"), (batch) => this.#refillTheirs(batch)],
    ];
    for (const [findings, work] of steps) {
      for (let at = 0; at < findings.length; at += BATCH) {
        const batch = findings.slice(at, at + BATCH);
        try {
          if (this.#stopped()) {
            throw new MirrorError("link_closed", "the link went away before it was repaired");
          }
          await work(batch);
        } catch (error) {
          if (!(error instanceof MirrorError)) throw error;
          for (const finding of batch) this.#fail(finding, reasonOf(error));
        }
      }
    }
  }

  /** What was stopped has not looked at everything: nothing may be concluded from its silence. */
  #mustGoOn(): void {
    if (this.#stopped()) throw new MirrorError("link_closed", "the link went away before it was repaired");
  }

  readonly #stopped = (): boolean => this.#parts.stopped() || this.#partner.link.isClosed;

  /** What can be repaired on one side with this peer's help. */
  #findings(number: number | null): (side: Side) => OpenFinding[] {
    return (side) =>
      this.#open.filter((finding) =>
        finding.side === side && !finding.repaired && (finding.at?.number ?? null) === number &&
        (finding.verdict === "damaged" || (side === "synced" && finding.verdict === "missing")) &&
        // The row of what is missing here may be gone by now: then it comes again by itself.
        (number !== null || side === "watched" || finding.put.has(this.#partner.peer.number))
      );
  }

  #fail(finding: OpenFinding, reason: string): void {
    if (!finding.repaired) finding.notRepaired = reason;
  }

  #done(finding: OpenFinding): void {
    finding.repaired = true;
    finding.notRepaired = null;
  }

  async #mendOurs(batch: readonly OpenFinding[]): Promise<void> {
    const { verification } = this.#parts;
    const { peer, link } = this.#partner;
    const parts = verification.repairParts(link, this.#stopped);
    const { mended, failed } = await repairHere(parts, peer.number, { watched: pathsOf(batch), synced: [] });
    this.#record(batch, mended, failed);
  }

  async #mendTheirs(batch: readonly OpenFinding[]): Promise<void> {
    const { mended, failed } = await this.#askRepair({ watched: pathsOf(batch), synced: [] });
    this.#record(batch, mended, failed);
  }

  #record(
    batch: readonly OpenFinding[],
    mended: readonly string[],
    failed: readonly { readonly path: string; readonly reason: string }[],
  ): void {
    const done = new Set(mended);
    const reasons = new Map(failed.map(({ path, reason }) => [path, reason]));
    for (const finding of batch) {
      if (done.has(finding.path)) this.#done(finding);
      else this.#fail(finding, reasons.get(finding.path) ?? "it could not be repaired");
    }
  }

  async #askRepair(paths: Paths) {
    const { random } = this.#parts;
    const reply = await ask(this.#partner.link, { id: random.uuid(), action: "repair" }, paths);
    return parseRepaired(jsonOf(reply));
  }

  /** Our `synced/`, of their `watched/`. */
  async #refillOurs(batch: readonly OpenFinding[]): Promise<void> {
    const { verification, store, random, synced } = this.#parts;
    const { peer, link } = this.#partner;
    const bad = await this.#theirFindings({ watched: this.#unmended(batch, peer.number), synced: [] });
    const good = this.#withGoodSource(batch, bad, `${peer.name}'s own file`);
    if (good.length === 0) return;
    const damagedPaths = pathsOf(good.filter(({ verdict }) => verdict === "damaged"));
    const parts = verification.repairParts(link, this.#stopped);
    const repaired = await repairHere(parts, peer.number, { watched: [], synced: damagedPaths });
    await ask(link, { id: random.uuid(), action: "compare" }, repaired.damaged);
    await this.#wait(good, async ({ path, put }) => {
      const row = store.synced.get(peer.number, path as RelativePath);
      const now = await synced.lstat(path);
      return row !== null && now !== null && sameMark(now, row) &&
        row.state.hash === put.get(peer.number);
    });
    const { findings } = await readHere(
      { ...parts, onProgress: () => {} },
      { peers: [peer.number], paths: { watched: [], synced: pathsOf(good) } },
    );
    this.#conclude(
      good,
      findings,
      repaired.damaged,
      (path) => store.synced.get(peer.number, path)?.state.hash,
    );
  }

  /** Their `synced/`, of our `watched/`. */
  async #refillTheirs(batch: readonly OpenFinding[]): Promise<void> {
    const { verification, store, clock } = this.#parts;
    const { peer, link } = this.#partner;
    const parts = verification.repairParts(link, this.#stopped);
    const { findings: bad } = await readHere(
      { ...parts, onProgress: () => {} },
      { peers: [], paths: { watched: this.#unmended(batch, null), synced: [] } },
    );
    this.#mustGoOn();
    const good = this.#withGoodSource(batch, bad, "the file in watched/ here");
    if (good.length === 0) return;
    const damagedPaths = pathsOf(good.filter(({ verdict }) => verdict === "damaged"));
    const repaired = await this.#askRepair({ watched: [], synced: damagedPaths });
    for (const version of repaired.damaged) keepDamagedList(store, peer.number, version, clock.now());
    await this.#partner.compare();
    const has = (path: RelativePath) => store.acked.get(peer.number, path) !== null;
    await this.#wait(
      good,
      ({ path }) =>
        Promise.resolve(
          has(path as RelativePath) && store.pending.get(peer.number, path as RelativePath) === null,
        ),
    );
    this.#mustGoOn();
    const findings = await this.#theirFindings({ watched: [], synced: pathsOf(good) });
    this.#conclude(good, findings, repaired.damaged, (path) => store.acked.get(peer.number, path)?.hash);
  }

  /** The paths whose source was not built anew and read again a moment ago: it is not observed again yet. */
  #unmended(batch: readonly OpenFinding[], source: number | null): RelativePath[] {
    const mended = new Set(
      this.#open.filter((f) => f.side === "watched" && f.repaired && (f.at?.number ?? null) === source)
        .map(({ path }) => path),
    );
    return pathsOf(batch).filter((path) => !mended.has(path));
  }

  #withGoodSource(
    batch: readonly OpenFinding[],
    bad: readonly Finding[],
    source: string,
  ): OpenFinding[] {
    const why = new Map(bad.map(({ path, verdict }) => [path, verdict]));
    return batch.filter((finding) => {
      const verdict = why.get(finding.path);
      if (verdict === undefined) return true;
      const state = {
        damaged: "is damaged as well: neither side has the right content",
        missing: "is not there",
        unreadable: "cannot be read",
        changed: "has been changed: its new version will come by itself",
        unverified: "was saved a moment ago: try again in a few seconds",
      }[verdict];
      this.#fail(finding, `${source} ${state}`);
      return false;
    });
  }

  async #theirFindings(paths: Paths): Promise<readonly Finding[]> {
    const { random } = this.#parts;
    const { link, peer } = this.#partner;
    if (paths.watched.length + paths.synced.length === 0) return [];
    const report = parseReport(jsonOf(await ask(link, { id: random.uuid(), action: "verify" }, paths)));
    if (report !== null && report.more === 0) return report.findings;
    throw new MirrorError("failed", `${peer.name} gave a report that cannot be used`);
  }

  /** Waits until all are done, the link is gone, or nothing gets on any more. */
  async #wait(
    findings: readonly OpenFinding[],
    isDone: (finding: OpenFinding) => Promise<boolean>,
  ): Promise<void> {
    const { clock, transferred } = this.#parts;
    let left = [...findings];
    let seen = "", sinceMs = clock.monotonic();
    while (left.length > 0 && !this.#stopped()) {
      const results = await Promise.all(left.map(isDone));
      left = left.filter((_, i) => !results[i]);
      const state = `${left.length} ${transferred()}`;
      if (state !== seen) [seen, sinceMs] = [state, clock.monotonic()];
      if (clock.monotonic() - sinceMs > PATIENCE_MS) return;
      if (left.length > 0) await new Promise<void>((resolve) => clock.after(LOOK_MS, resolve));
    }
  }

  /** Repaired is what reads as it should, and is not merely believed to be what the disk has made of it. */
  #conclude(
    batch: readonly OpenFinding[],
    bad: readonly Finding[],
    damaged: readonly DamagedVersion[],
    believed: (path: RelativePath) => string | undefined,
  ): void {
    const verdicts = new Map(bad.map(({ path, verdict }) => [path, verdict]));
    const spoiled = new Map(damaged.map(({ path, hash }) => [path, hash]));
    for (const finding of batch) {
      const path = finding.path as RelativePath;
      const verdict = verdicts.get(finding.path);
      if (verdict === undefined && believed(path) !== spoiled.get(path)) this.#done(finding);
      else {this.#fail(
          finding,
          "what was asked for has not come yet: `mirrorsync pending` on the other side says why",
        );}
    }
  }
}
