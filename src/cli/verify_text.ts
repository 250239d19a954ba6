import { type ByteRange, isBad } from "../verify/finding.ts";
import { isWell, type VerifiedFinding, type VerifyProgress, type VerifyResult } from "../verify/result.ts";
import { escapeText, plural, showBytes, showDuration, showPath } from "./text.ts";

/** Ranges of one file that a line names. */
const MAX_SHOWN = 5;

/** What verifying has found, a line for each finding, and a summary. */
export function verifyLines(result: VerifyResult): string[] {
  const lines = result.findings.flatMap(findingLines);
  if (lines.length > 0) lines.push("");
  return [...lines, ...summary(result)];
}

function findingLines(finding: VerifiedFinding): string[] {
  const { peer, side, path, repaired, notRepaired } = finding;
  const where = `${peer === null ? "" : `on ${escapeText(peer)}: `}${showPath(`${side}/${path}`)}`;
  const line = `${where}${said(finding)}${repaired ? ": repaired" : ""}`;
  return notRepaired === null ? [line] : [line, `    not repaired: ${escapeText(notRepaired)}`];
}

function said({ verdict, ranges, sizeBytes, reason }: VerifiedFinding): string {
  const why = reason === null ? "" : ` (${escapeText(reason)})`;
  switch (verdict) {
    case "damaged":
      return `: ${damage(ranges, sizeBytes)} damaged`;
    case "missing":
      return " is missing";
    case "unreadable":
      return ` cannot be read${why}`;
    case "changed":
      return " is being changed, or was since it was last looked at: not verified";
    case "unverified":
      return " was saved a moment ago: not verified";
  }
}

function damage(ranges: readonly ByteRange[], sizeBytes: number): string {
  const [first] = ranges;
  if (first === undefined) return "it is";
  if (ranges.length === 1 && first[0] === 0 && first[1] === sizeBytes) {
    return `somewhere in its ${plural(sizeBytes, "byte")} it is`;
  }
  const number = (value: number) => value.toLocaleString("en");
  const shown = ranges.slice(0, MAX_SHOWN).map(([from, to]) => `${number(from)} to ${number(to)}`);
  const more = ranges.length > MAX_SHOWN ? ` and ${plural(ranges.length - MAX_SHOWN, "more range")}` : "";
  return `bytes ${shown.join(", ")}${more} are`;
}

function summary(result: VerifyResult): string[] {
  const { findings, peers } = result;
  const read = (where: string, { watched, synced }: Pick<VerifyResult, "watched" | "synced">) =>
    `${where}: ${plural(watched.files + synced.files, "file")}, ${
      showBytes(watched.bytes + synced.bytes)
    } read`;
  const lines = [`${read("here", result)}, in ${showDuration(result.tookMs)}`];
  for (const peer of peers) {
    const name = escapeText(peer.name);
    const wasAsked = peer.state !== "not_asked" && peer.state !== "cannot";
    if (wasAsked) lines.push(read(`on ${name}`, peer));
    if (peer.state === "lost") {
      lines.push(`${name} was not verified to the end: ${escapeText(peer.reason ?? "")}`);
    }
    if (!wasAsked) lines.push(`${name} was not asked: ${escapeText(peer.reason ?? "")}`);
    const differing = (peer.differencesThere ?? 0) + (peer.differencesHere ?? 0);
    if (differing > 0) {
      lines.push(`with ${name} the trees differed at ${plural(differing, "path")}: the difference is sent`);
    }
  }
  const more = result.more + peers.reduce((sum, peer) => sum + peer.more, 0);
  if (more > 0) lines.push(`${plural(more, "more finding")} found no room here`);
  const count = (verdict: VerifiedFinding["verdict"]) => findings.filter((f) => f.verdict === verdict).length;
  const parts = [
    [count("damaged"), "damaged"],
    [count("missing"), "missing"],
    [count("unreadable"), "unreadable"],
    [findings.filter(({ repaired }) => repaired).length, "repaired"],
    [findings.filter((finding) => !isBad(finding)).length, "not verified"],
  ] as const;
  const told = parts.filter(([n]) => n > 0).map(([n, what]) => `${n.toLocaleString("en")} ${what}`);
  const end = isWell(result) ? "all that was read is as it should be" : "not everything is as it should be";
  return [...lines, told.length === 0 ? end : `${end}: ${told.join(", ")}`];
}

/** How far verifying has come, as one line. */
export function progressText({ stage, sides }: VerifyProgress): string {
  if (stage === "comparing") return "comparing what both sides believe";
  if (stage === "repairing") return "repairing";
  return sides.map(({ peer, bytes, ofBytes }) => {
    const of = ofBytes > 0 ? ` of ${showBytes(Math.max(bytes, ofBytes))}` : "";
    return `${peer === null ? "here" : escapeText(peer)} ${showBytes(bytes)}${of}`;
  }).join(" · ");
}
