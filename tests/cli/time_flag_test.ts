import assert from "node:assert/strict";
import { parseTime } from "../../src/cli/time_flag.ts";

const NOW = Date.UTC(2026, 10, 22, 12);

Deno.test("a time: as it stands in a log, in this computer's time, a day, or how long ago", () => {
  assert.equal(parseTime("2026-11-22T10:00:00.250Z", NOW), Date.UTC(2026, 10, 22, 10, 0, 0, 250));
  assert.equal(parseTime("2026-11-22 10:00+02:00", NOW), Date.UTC(2026, 10, 22, 8));
  assert.equal(parseTime("2026-11-20 10:30", NOW), new Date(2026, 10, 20, 10, 30).getTime());
  assert.equal(parseTime("2026-11-20", NOW), new Date(2026, 10, 20).getTime());
  assert.equal(parseTime("90m", NOW), NOW - 90 * 60_000);
  assert.equal(parseTime("3d", NOW), NOW - 3 * 86_400_000);
  for (
    const text of ["", "yesterday", "10", "2026-02-31T", "2026-13-01", "25:00", "2026-11-20 25:00", "-1h"]
  ) {
    assert.throws(() => parseTime(text, NOW), /is no time/, text);
  }
  assert.throws(() => parseTime("2026-11-23", NOW), /still to come/);
});
