import assert from "node:assert/strict";
import { configTemplate, loadConfig, parseConfig } from "../../src/cli/config.ts";
import { formatDuration, parseDuration } from "../../src/cli/duration.ts";
import { MirrorError } from "../../src/domain/mirror_error.ts";
import { DEFAULT_SETTINGS } from "../../src/peer/settings.ts";

const FILE = "/home/anna/.local/share/mirrorsync/mirrorsync.toml";

/** Checks that a config is refused with a message that names the file and matches all of `mentions`. */
function assertRefused(text: string, ...mentions: RegExp[]): void {
  assert.throws(() => parseConfig(text, FILE), (error) => {
    assert.ok(error instanceof MirrorError);
    assert.equal(error.code, "bad_config");
    for (const mention of [/mirrorsync\.toml/, ...mentions]) assert.match(error.message, mention);
    return true;
  });
}

Deno.test("an empty config and a new one say nothing but defaults", () => {
  for (const text of ["", configTemplate({ listen: null })]) {
    assert.deepEqual(parseConfig(text, FILE), {
      name: null,
      listen: null,
      watched: null,
      synced: null,
      peer: null,
      notify: false,
      settings: DEFAULT_SETTINGS,
    });
  }
});

Deno.test("a new config holds the address that was asked for, and its commented lines are a valid config", () => {
  const text = configTemplate({ listen: "[::1]:7000" });
  assert.deepEqual(parseConfig(text, FILE).listen, { host: "::1", port: 7000 });
  const uncommented = configTemplate({ listen: null }).replaceAll(/^# (\w+ = )/gm, "$1");
  assert.deepEqual(parseConfig(uncommented, FILE), {
    name: "laptop",
    listen: { host: "0.0.0.0", port: 22600 },
    watched: "/path/to/watched",
    synced: "/path/to/synced",
    peer: { host: "other.example", port: 22600 },
    notify: false,
    settings: DEFAULT_SETTINGS,
  });
});

Deno.test("every key is read; relative folders are relative to the file's folder", () => {
  const config = parseConfig(
    'name = "Anna\'s laptop"\nlisten = "0.0.0.0:1"\nwatched = "w"\nsynced = "../s"\npeer = "h"\nnotify = true\n' +
      'scan_interval = "90s"\nlog_days = 7\naudit_days = 800\nquota = "20GB"\ntrash = false\ntrash_days = 3\ntrash_size = "1.5GiB"\nlimit = "500KB/s"\n',
    FILE,
  );
  assert.deepEqual(config, {
    name: "Anna's laptop",
    listen: { host: "0.0.0.0", port: 1 },
    watched: "/home/anna/.local/share/mirrorsync/w",
    synced: "/home/anna/.local/share/s",
    peer: { host: "h", port: 22600 },
    notify: true,
    settings: {
      scanIntervalMs: 90_000,
      logDays: 7,
      auditDays: 800,
      limitBytesPerSecond: 500_000,
      quotaBytes: 20e9,
      trash: false,
      trashDays: 3,
      trashBytes: 1.5 * 1024 ** 3,
    },
  });
});

Deno.test("what is no TOML is refused with its line", () => {
  assertRefused("= = =", /line 1/);
  assertRefused('watched = "a"\n\n[[[', /line 3/);
  assertRefused("\0\0\0", /line 1/);
  assertRefused('name = "a"\nname = "b"', /line 2/);
});

Deno.test("wrong types and unknown keys are refused with key, line and what is expected", () => {
  assertRefused(
    '# comment\nwatched = ["a", 5]',
    /line 2: watched must be the path of a folder.*not \["a",5\]/,
  );
  assertRefused("watched = 5", /watched .*in quotes, not 5/);
  assertRefused('watched = ""', /watched/);
  assertRefused('\nwatch = "a"', /line 2: there is no key watch: the keys are name, listen, watched/);
  assertRefused("[peers]\nx = 1", /line 1: there is no key peers/);
  assertRefused('listen = "127.0.0.1:99999"', /listen must be an address.*"99999" is not a port/);
  assertRefused("listen = 22600", /listen must be an address, HOST:PORT, in quotes, not 22600/);
  assertRefused('notify = "yes"', /notify must be true or false/);
  assertRefused('peer = "a:b:c"', /peer must be an address.*more than one colon/);
  assertRefused('log_days = "x"', /log_days must be a whole number of days.*not "x"/);
  assertRefused("log_days = 0", /log_days/);
  assertRefused("log_days = 1.5", /log_days/);
  assertRefused('limit = "2 Mb"', /line 1: limit must be bytes a second.*: "2 Mb" is not clear.*bits/);
  assertRefused('quota = "20 Gb"', /line 1: quota must be a number of bytes.*: "20 Gb" is not clear.*bits/);
  assertRefused("trash_days = 0", /trash_days must be a whole number of days/);
  assertRefused('trash = "yes"', /trash must be true or false, not "yes"/);
  for (const value of ["0", '"none"', "-1", '"5 Gb"', "true"]) {
    assertRefused(`trash_size = ${value}`, /trash_size must be a number of bytes, not 0: "10GB"/);
  }
  assertRefused("audit_days = 0", /audit_days must be a whole number of days/);
  assertRefused("limit = -5", /limit must be bytes a second.*: -5 is negative$/);
  assertRefused("limit = true", /limit must be bytes a second, 1KB\/s or more \(2MB\/s.*not true/);
  assertRefused('name = ""', /name must be/);
  assertRefused('name = "a\\nb"', /name must be/);
  assertRefused('"new\\nline" = 1', /there is no key new\\nline/);
  assertRefused('"__proto__" = 1');
  for (const value of ['"10 minutes"', '"0s"', "0", "-5", "nan", "inf", '"25h"', "true", '""']) {
    assertRefused(`scan_interval = ${value}`, /scan_interval must be a time from 1 second to 24 hours/);
  }
  assertRefused('a = 1\nb = 2\nlog_days = "c"', /no key a/, /no key b/, /log_days/);
});

Deno.test("a limit in the config: a text, a number, or none", () => {
  const limit = (value: string) => parseConfig(`limit = ${value}`, FILE).settings.limitBytesPerSecond;
  assert.equal(limit('"1.5MiB/s"'), 1_572_864);
  assert.equal(limit("250000"), 250_000);
  assert.equal(limit('"none"'), null);
  assert.equal(limit("0"), null);
});

Deno.test("lengths of time", () => {
  const cases: [string | number, number][] = [
    [60, 60_000],
    ["60", 60_000],
    ["10m", 600_000],
    [" 1.5 h ", 5_400_000],
    ["250ms", 250],
    ["1d", 86_400_000],
    ["10x", NaN],
    ["", NaN],
    ["-1s", NaN],
  ];
  for (const [text, ms] of cases) assert.equal(parseDuration(text), ms, String(text));
  for (const ms of [250, 1000, 90_000, 600_000, 3_600_000, 86_400_000]) {
    assert.equal(parseDuration(formatDuration(ms)), ms);
  }
  assert.equal(formatDuration(600_000), "10m");
});

Deno.test("a config file that is not there says nothing; one that is no text is refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal((await loadConfig(`${folder}/none.toml`)).listen, null);
    await Deno.writeFile(`${folder}/binary.toml`, new Uint8Array([0xff, 0xfe, 0x00]));
    await assert.rejects(
      loadConfig(`${folder}/binary.toml`),
      /binary\.toml cannot be read: it is not text in UTF-8/,
    );
    await assert.rejects(loadConfig(folder), { code: "bad_config" });
    await Deno.writeFile(`${folder}/bom.toml`, new TextEncoder().encode("\ufefflog_days = 3\r\n"));
    assert.equal((await loadConfig(`${folder}/bom.toml`)).settings.logDays, 3);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
