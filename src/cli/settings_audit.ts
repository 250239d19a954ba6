import { type Actor, whoOf } from "../auth/auth.ts";
import type { Store } from "../store/store.ts";
import type { Settings } from "../peer/settings.ts";
import type { Config } from "./config.ts";

/** The fact under which the settings of the latest run are kept, to be compared with. */
const SETTINGS_FACT = "settings";

/** The keys of mirrorsync.toml. */
const KEYS: Readonly<Record<keyof Settings, string>> = {
  scanIntervalMs: "scan_interval",
  logDays: "log_days",
  auditDays: "audit_days",
  limitBytesPerSecond: "limit",
  quotaBytes: "quota",
  trash: "trash",
  trashDays: "trash_days",
  trashBytes: "trash_size",
};

/** Writes into the audit trail which settings are others than at the run before. */
export function noteSettings(store: Store, { settings, ...rest }: Config, actor: Actor, nowMs: number): void {
  const said = Object.entries(KEYS).map(([setting, key]) => [key, settings[setting as keyof Settings]]);
  const now: Readonly<Record<string, unknown>> = { ...rest, ...Object.fromEntries(said) };
  store.transaction(() => {
    const before = store.facts.get(SETTINGS_FACT);
    store.facts.set(SETTINGS_FACT, now);
    if (before === null || typeof before !== "object") return; // the first run
    const old = before as Readonly<Record<string, unknown>>;
    const changed = [...new Set([...Object.keys(old), ...Object.keys(now)])]
      .filter((key) => JSON.stringify(old[key]) !== JSON.stringify(now[key]));
    if (changed.length === 0) return;
    store.audit.record({
      ...{ atMs: nowMs, kind: "settings_changed", who: whoOf(actor), subject: "mirrorsync.toml" },
      detail: `changed since the run before: ${changed.join(", ")}`,
    });
  });
}
