import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { RelativePath } from "../domain/relative_path.ts";
import type { Link } from "../link/link.ts";
import { ask, jsonOf } from "../verify/exchange.ts";
import { type Finding, parseReport, type Report } from "../verify/finding.ts";
import { bytesToRead, readHere } from "../verify/read_side.ts";
import type { VerifiedFinding, VerifiedPeer, VerifyProgress, VerifyResult } from "../verify/result.ts";
import { RepairTask } from "./repair_task.ts";
import type { Verification, VerificationParts, VerifyPartner } from "./verification.ts";

export interface TaskParts extends VerificationParts {
  readonly verification: Verification;
  readonly stopped: () => boolean;
}

/** A finding while it can still be repaired. */
export interface OpenFinding extends Finding {
  /** Of a file in `synced/` here: what each peer has put there, its SHA-256 by the peer's number, as it was when it was read. */
  readonly put: ReadonlyMap<number, string>;
  /** The number and the name of the peer on whose disk it is; `null`: this side. */
  readonly at: { readonly number: number; readonly name: string } | null;
  repaired: boolean;
  notRepaired: string | null;
}

/** A partner that can be asked. */
export interface AskedPartner extends VerifyPartner {
  readonly link: Link;
}

const NOTHING: Report = {
  watched: { files: 0, bytes: 0 },
  synced: { files: 0, bytes: 0 },
  findings: [],
  more: 0,
};

/** One verification: reads this side, has the peers read theirs, compares, and repairs if that is wished. */
export class VerifyTask {
  readonly #parts: TaskParts;
  readonly #repair: boolean;
  readonly #sides = new Map<string | null, { files: number; bytes: number; ofBytes: number }>();
  #stage: VerifyProgress["stage"] = "reading";

  constructor(parts: TaskParts, repair: boolean) {
    this.#parts = parts;
    this.#repair = repair;
  }

  progress(): VerifyProgress {
    return { stage: this.#stage, sides: [...this.#sides].map(([peer, side]) => ({ peer, ...side })) };
  }

  async run(): Promise<VerifyResult> {
    const { clock, partners } = this.#parts;
    const startedMs = clock.monotonic();
    const all = partners();
    const [here, ...there] = await Promise.all([
      this.#readHere(all),
      ...all.map((partner) => this.#readThere(partner)),
    ]);
    const open = here.findings.map((finding) => opened(finding, null, this.#putHere(finding, all)));
    for (const { partner, report } of there) {
      open.push(...report.findings.map((finding) => opened(finding, partner.peer)));
    }
    this.#stage = "comparing";
    const peers: VerifiedPeer[] = [];
    for (const asked of there) peers.push(await this.#compare(asked));
    if (this.#repair && !this.#parts.stopped()) {
      this.#stage = "repairing";
      for (const { partner, state } of there) {
        if (state !== "verified" || partner.link === null) continue;
        await new RepairTask(this.#parts, { ...partner, link: partner.link }, open).run();
      }
    }
    return {
      repair: this.#repair,
      tookMs: Math.round(clock.monotonic() - startedMs),
      ...{ watched: here.watched, synced: here.synced, more: here.more },
      peers: peers.map((peer, i) => this.#ended(peer, there[i]!.partner)),
      findings: open.map(({ at, put: _, ...finding }): VerifiedFinding => ({
        ...finding,
        peer: at?.name ?? null,
      })),
    };
  }

  #putHere({ side, path }: Finding, partners: readonly VerifyPartner[]): Map<number, string> {
    const { store } = this.#parts;
    return new Map(partners.flatMap(({ peer: { number } }) => {
      const row = side === "synced" ? store.synced.get(number, path as RelativePath) : null;
      return row === null ? [] : [[number, row.state.hash] as const];
    }));
  }

  #readHere(partners: readonly VerifyPartner[]): Promise<Report> {
    const { store, verification } = this.#parts;
    const links = partners.flatMap(({ link }) => link?.has("verify") ? [link] : []);
    const ofBytes = bytesToRead(store);
    this.#sides.set(null, { files: 0, bytes: 0, ofBytes });
    return readHere({
      ...this.#parts,
      listFor: verification.listFor(links),
      onProgress: ({ files, bytes }) => this.#sides.set(null, { files, bytes, ofBytes }),
    }, { peers: partners.map(({ peer }) => peer.number), paths: null });
  }

  async #readThere(partner: VerifyPartner): Promise<Asked> {
    const { peer, link } = partner;
    const none = (state: Asked["state"], reason: string) => ({ partner, state, reason, report: NOTHING });
    if (link === null) return none("not_asked", `there is no link with ${peer.name}`);
    if (!link.has("verify")) return none("cannot", `${peer.name} cannot verify: its version is older`);
    const id = this.#parts.random.uuid();
    const unfollow = this.#parts.verification.follow(id, ({ files, bytes, of }) => {
      if (typeof files !== "number" || typeof bytes !== "number") return;
      this.#sides.set(peer.name, { files, bytes, ofBytes: typeof of === "number" ? of : 0 });
    });
    try {
      this.#sides.set(peer.name, { files: 0, bytes: 0, ofBytes: 0 });
      const reply = await this.#unlessStopped(ask(link, { id, action: "verify" }));
      const report = parseReport(jsonOf(reply));
      if (report === null) return none("lost", `${peer.name} gave a report that cannot be read`);
      const { files, bytes } = sum(report);
      this.#sides.set(peer.name, { files, bytes, ofBytes: bytes });
      return { partner, state: "verified", reason: null, report };
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error;
      return none("lost", `${peer.name} did not verify to the end: ${error.message}`);
    } finally {
      unfollow();
    }
  }

  /** A peer can take hours: whoever does not want to wait any more need not. */
  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    const { clock, stopped } = this.#parts;
    let cancel = () => {};
    const stop = new Promise<never>((_, reject) => {
      const look = () => {
        if (stopped()) reject(new MirrorError("link_closed", "it was stopped"));
        else cancel = clock.after(500, look);
      };
      look();
    });
    try {
      return await Promise.race([work, stop]);
    } finally {
      cancel();
      work.catch(() => {}); // When it was stopped, nobody is left to be told.
    }
  }

  async #compare({ partner, state, reason, report }: Asked): Promise<VerifiedPeer> {
    const { peer, link } = partner;
    const { watched, synced, more } = report;
    const known = { name: peer.name, state, reason, watched, synced, more };
    if (state !== "verified" || link === null || !link.has("tree") || this.#parts.stopped()) {
      return { ...known, differencesThere: null, differencesHere: null };
    }
    const differencesThere = await partner.compare();
    return { ...known, differencesThere, differencesHere: await this.#compareThere(link) };
  }

  async #compareThere(link: Link): Promise<number | null> {
    try {
      const { header } = await ask(link, { id: this.#parts.random.uuid(), action: "compare" });
      const differences = header["differences"];
      return typeof differences === "number" && differences >= 0 ? differences : null;
    } catch (error) {
      if (error instanceof MirrorError) return null; // told as "not found out"
      throw error;
    }
  }

  /** A link that went away later is told of too. */
  #ended(peer: VerifiedPeer, { link }: VerifyPartner): VerifiedPeer {
    if (peer.state !== "verified" || link === null || !link.isClosed) return peer;
    return { ...peer, state: "lost", reason: `the link with ${peer.name} went away before it was done` };
  }
}

interface Asked {
  readonly partner: VerifyPartner;
  readonly state: VerifiedPeer["state"];
  readonly reason: string | null;
  readonly report: Report;
}

function opened(finding: Finding, at: OpenFinding["at"], put: OpenFinding["put"] = new Map()): OpenFinding {
  return { ...finding, at, put, repaired: false, notRepaired: null };
}

function sum({ watched, synced }: Report) {
  return { files: watched.files + synced.files, bytes: watched.bytes + synced.bytes };
}

/** The paths of some findings. They were read from a database or checked when they came. */
export function pathsOf(findings: readonly OpenFinding[]): RelativePath[] {
  return findings.map(({ path }) => path as RelativePath);
}

/** What to say of something that went wrong. */
export function reasonOf(error: unknown): string {
  return messageOf(error).slice(0, 2000);
}
