/** What a run can be told, by `mirrorsync.toml` or by flags; all of it has a default. */
export interface Settings {
  /** Milliseconds between two full scans of `watched/`. */
  readonly scanIntervalMs: number;
  /** Days for which rows of the log are kept. */
  readonly logDays: number;
  /** Days for which rows of the audit trail are kept. */
  readonly auditDays: number;
  /** Bytes a second that all links together may send, and as many that they may receive; `null` without a limit. */
  readonly limitBytesPerSecond: number | null;
  /** Bytes that each peer may have in `synced/`; `null` without a quota. */
  readonly quotaBytes: number | null;
  /** Whether what a peer deletes or replaces goes to the trash first. */
  readonly trash: boolean;
  /** Days for which the trash keeps a version, and bytes that it may take in all. */
  readonly trashDays: number;
  readonly trashBytes: number;
}

/** The defaults, which the comments of a new `mirrorsync.toml` repeat. */
export const DEFAULT_SETTINGS: Settings = {
  scanIntervalMs: 600_000,
  logDays: 90,
  auditDays: 400,
  limitBytesPerSecond: null,
  quotaBytes: null,
  trash: true,
  trashDays: 30,
  trashBytes: 10e9,
};
