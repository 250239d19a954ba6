/**
 * The schema, one step for each version; `PRAGMA user_version` counts the steps that were made. A step that was released is
 * never edited, only followed. Times are milliseconds of UTC in columns named `…_ms`, ISO 8601 in `log` and `audit`,
 * whose reader is a person.
 */
export const MIGRATIONS: readonly string[] = [
  `
  -- The peers that are trusted. "number" names a peer in the other tables and outlives a change of its key.
  CREATE TABLE peers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL UNIQUE,
    certificate TEXT NOT NULL,
    address TEXT,
    added_ms INTEGER NOT NULL,
    last_seen_ms INTEGER
  ) STRICT;

  -- What a scan or the watcher last saw in watched/.
  CREATE TABLE observed (
    path TEXT NOT NULL PRIMARY KEY,
    disk_path TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    ctime_ms INTEGER NOT NULL,
    inode REAL NOT NULL,
    device REAL NOT NULL,
    executable INTEGER NOT NULL,
    hash TEXT,
    provisional INTEGER NOT NULL,
    held TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX observed_inode ON observed (inode, device);
  CREATE INDEX observed_provisional ON observed (path) WHERE provisional = 1;
  CREATE INDEX observed_held ON observed (path) WHERE held IS NOT NULL;

  -- What lies in watched/ and is not sent, with the reason.
  CREATE TABLE skipped (
    path TEXT NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    since_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  -- The state that each peer last acknowledged.
  CREATE TABLE acked (
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    hash TEXT NOT NULL,
    PRIMARY KEY (peer, path)
  ) STRICT, WITHOUT ROWID;

  -- The paths whose observed state differs from the acknowledged one: always their difference, kept for readers and for reasons.
  CREATE TABLE pending (
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    path TEXT NOT NULL,
    action TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    state TEXT NOT NULL,
    code TEXT,
    reason TEXT,
    attempts INTEGER NOT NULL,
    next_attempt_ms INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    moved_to TEXT,
    PRIMARY KEY (peer, path)
  ) STRICT, WITHOUT ROWID;

  -- What each peer's operations have put into synced/, and how the disk looked right after.
  -- A file belongs to one peer; a folder to nobody, so each peer that has sent it has a row of its own.
  CREATE TABLE synced (
    path TEXT NOT NULL,
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    hash TEXT NOT NULL,
    disk_size INTEGER NOT NULL,
    disk_mtime_ms INTEGER NOT NULL,
    disk_ctime_ms INTEGER NOT NULL,
    disk_inode REAL NOT NULL,
    disk_device REAL NOT NULL,
    PRIMARY KEY (path, peer)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX synced_peer ON synced (peer, path);

  -- Commits that were begun: written before the first rename, removed with the row in synced.
  CREATE TABLE intents (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    path TEXT NOT NULL,
    aside TEXT NOT NULL,
    kind TEXT,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    hash TEXT NOT NULL
  ) STRICT;

  -- Every operation sent or received, and what happened locally that a user should know.
  CREATE TABLE log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    id TEXT,
    direction TEXT NOT NULL,
    action TEXT NOT NULL,
    path TEXT NOT NULL,
    size INTEGER,
    hash TEXT,
    timestamp TEXT,
    sender TEXT,
    peer TEXT,
    status TEXT NOT NULL,
    code TEXT,
    error TEXT,
    wire_bytes INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX log_at ON log (at);

  -- What the running process tells the commands, and what they tell it: JSON by key.
  CREATE TABLE facts (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- How versions of large files were cut into chunks (docs/ARCHITECTURE.md), by the SHA-256 of the version.
  CREATE TABLE chunk_lists (
    hash TEXT NOT NULL PRIMARY KEY,
    chunks BLOB NOT NULL,
    made_ms INTEGER NOT NULL
  ) STRICT;

  -- Large files that came in part before their link was cut, and wait in the staging folder for the rest.
  CREATE TABLE partials (
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    path TEXT NOT NULL,
    staged TEXT NOT NULL,
    size INTEGER NOT NULL,
    verified INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    PRIMARY KEY (peer, path)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Content that is somewhere already is found by its hash. Small files are left out: an entry would cost more than it spares.
  CREATE INDEX synced_hash ON synced (hash) WHERE size > 16384;
  CREATE INDEX acked_hash ON acked (hash) WHERE size > 16384;
  CREATE INDEX acked_size ON acked (size) WHERE size > 262144;

  -- For a creation: the path that had the same file before. "log" says it too, for what was moved.
  ALTER TABLE pending ADD COLUMN moved_from TEXT;
  ALTER TABLE log ADD COLUMN from_path TEXT;

  -- Moves in synced/ that were begun: written before the rename, removed with the rows that tell of its result.
  CREATE TABLE moves (
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    from_path TEXT NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    inode REAL NOT NULL,
    mtime_ms INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- Journals in the staging folder: contents of small files that were put in place and are not flushed themselves yet. "committed":
  -- bytes from the start whose operations have their rows in synced.
  CREATE TABLE journals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    committed INTEGER NOT NULL
  ) STRICT;
  `,
  `
  -- A few chunks of each list in chunk_lists (its rowid is "list"), by their CRC-32: how a list with something in common is found.
  CREATE TABLE chunk_hooks (
    average_bits INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    list INTEGER NOT NULL,
    PRIMARY KEY (average_bits, crc, list)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Who was let in, who was not, and who changed what. "times": how often it happened from "at" to "last_at".
  CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    who TEXT,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    times INTEGER NOT NULL,
    last_at TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_last_at ON audit (last_at);
  `,
  `
  -- Who may use this home. Without a row here it is open to whoever owns its files. Passwords and secrets are hashed.
  CREATE TABLE users (
    name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    role TEXT NOT NULL,
    password TEXT NOT NULL,
    added_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE sessions (
    hash TEXT NOT NULL PRIMARY KEY,
    user TEXT NOT NULL REFERENCES users (name) ON DELETE CASCADE,
    started_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tokens (
    name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE,
    hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    made_by TEXT NOT NULL COLLATE NOCASE,
    made_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    used_ms INTEGER,
    revoked_ms INTEGER
  ) STRICT;

  -- Wrong tries to log in, by the name that was tried, in small letters; "" counts those of all names.
  CREATE TABLE login_failures (
    name TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX login_failures_last ON login_failures (last_ms);
  `,
  `
  -- The bytes of the files that each peer has in synced/: their sum, kept by the triggers below. (REPLACE fires the one for a
  -- deletion too, as recursive_triggers is on.)
  CREATE TABLE synced_bytes (
    peer INTEGER PRIMARY KEY REFERENCES peers (number) ON DELETE CASCADE,
    bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO synced_bytes
    SELECT number, coalesce((SELECT sum(size) FROM synced WHERE peer = number AND kind = 'file'), 0) FROM peers;
  CREATE TRIGGER peers_added AFTER INSERT ON peers BEGIN
    INSERT INTO synced_bytes VALUES (NEW.number, 0);
  END;
  CREATE TRIGGER synced_added AFTER INSERT ON synced WHEN NEW.kind = 'file' BEGIN
    UPDATE synced_bytes SET bytes = bytes + NEW.size WHERE peer = NEW.peer;
  END;
  CREATE TRIGGER synced_removed AFTER DELETE ON synced WHEN OLD.kind = 'file' BEGIN
    UPDATE synced_bytes SET bytes = bytes - OLD.size WHERE peer = OLD.peer;
  END;
  `,
  `
  -- Invites that were made. Of the secret only what checks a proof of it is kept. "state": open, used, or locked by wrong tries.
  CREATE TABLE invites (
    id TEXT NOT NULL PRIMARY KEY,
    stored_key BLOB NOT NULL,
    reply_key BLOB NOT NULL,
    expires_ms INTEGER NOT NULL,
    state TEXT NOT NULL,
    wrong_tries INTEGER NOT NULL,
    used_by TEXT
  ) STRICT, WITHOUT ROWID;
  `,
  `
  -- Where a peer may be reached when it is not at "address": a list in JSON.
  ALTER TABLE peers ADD COLUMN other_addresses TEXT NOT NULL DEFAULT '[]';
  -- What a peer has announced as its next certificate, and which next certificate of ours it has taken.
  ALTER TABLE peers ADD COLUMN next_fingerprint TEXT;
  ALTER TABLE peers ADD COLUMN next_certificate TEXT;
  ALTER TABLE peers ADD COLUMN took_fingerprint TEXT;
  `,
  `
  -- Versions in synced/ that a peer has deleted or replaced. "stored": where the content is (src/receive/trash.ts), NULL for a
  -- folder. "peer" is no reference: a version outlives the peer that it came from.
  CREATE TABLE trash (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    peer INTEGER NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    hash TEXT NOT NULL,
    stored TEXT UNIQUE,
    reason TEXT NOT NULL,
    placed_ms INTEGER NOT NULL,
    trashed_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX trash_path ON trash (path);
  CREATE INDEX trash_hash ON trash (hash) WHERE size > 16384;
  `,
  `
  -- Files that a peer was told to delete, and versions that it was told to replace: its trash may have them. "counts": it counts
  -- for some time among what is deleted at once (src/send/deletion_guard.ts).
  CREATE TABLE departed (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    peer INTEGER NOT NULL REFERENCES peers (number) ON DELETE CASCADE,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    hash TEXT NOT NULL,
    counts INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX departed_at ON departed (at_ms);
  CREATE INDEX departed_hash ON departed (hash) WHERE size > 16384;
  CREATE INDEX departed_size ON departed (size) WHERE size > 262144;

  -- For a deletion that was "held" by the guard against deletions at once: somebody has confirmed it.
  ALTER TABLE pending ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0;
  `,
  `
  -- Of a journal that a start could not bring to its end: the paths of operations that had only begun and are still to be settled, a
  -- list in JSON. NULL: no start has been at it yet, so all those past "committed" are.
  ALTER TABLE journals ADD COLUMN open TEXT;
  `,
  `
  -- How much of a beginning has travelled: the rest was copied from what was here, and costs nothing to make again.
  ALTER TABLE partials ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
  UPDATE partials SET sent = verified;
  `,
  `
  -- Lists of chunks have another format; without one the next version of a file is sent as if nothing were known of the last.
  DELETE FROM chunk_lists;
  DELETE FROM chunk_hooks;
  `,
  `
  -- Since when a peer has had a file (0: not known, so for long), and had one that it was told to delete: files that were never there
  -- together are not deleted at once.
  ALTER TABLE acked ADD COLUMN arrived_ms INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE departed ADD COLUMN arrived_ms INTEGER NOT NULL DEFAULT 0;
  `,
];
