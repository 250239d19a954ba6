import type { Report } from "./campaign.ts";

/** What a campaign found, for people. */
export function reportText(report: Report): string {
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const codes = [...report.codes].sort(([, a], [, b]) => b - a);
  return [
    `${report.frames} hostile frames on ${report.links} links in ${
      report.seconds.toFixed(1)
    } s, seed ${report.seed}`,
    `${report.honest} honest operations in between, on each of two peers' links: all served`,
    `memory: ${mib(report.residentAtStartBytes)} at the start, ${mib(report.residentAtMostBytes)} at most`,
    `replies: ${codes.map(([code, count]) => `${code} ${count}`).join(", ")}`,
  ].join("\n");
}
