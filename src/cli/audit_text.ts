import type { AuditRow } from "../store/audit.ts";
import { escapeText, jsonTime, showTime, table } from "./text.ts";

/** A row of the audit trail as JSON. */
export function auditJson({ atMs, kind, who, subject, detail, times, lastMs }: AuditRow) {
  return { at: jsonTime(atMs), kind, who, subject, detail, times, last: jsonTime(lastMs) };
}

/** Rows of the audit trail as lines. */
export function auditLines(rows: readonly AuditRow[]): string[] {
  return table(rows.map((row) => [
    showTime(row.atMs),
    row.kind,
    escapeText(row.who ?? "-"),
    escapeText(row.subject),
    escapeText(row.detail) +
    (row.times > 1 ? ` (${row.times} times, the last at ${showTime(row.lastMs)})` : ""),
  ]));
}
