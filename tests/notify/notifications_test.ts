import assert from "node:assert/strict";
import { showingOn, showOnDesktop } from "../../src/notify/desktop.ts";
import type { Notice } from "../../src/notify/notice.ts";
import { Notifications } from "../../src/notify/notifications.ts";
import { Store } from "../../src/store/store.ts";
import { eventually } from "../helpers/eventually.ts";
import { type Home, Pair } from "../peer/pair.ts";

/** Has `home` tell its notices, from its start on until `during` has ended; what was shown. */
async function noticesOf(
  pair: Pair,
  home: Home,
  during: () => Promise<void>,
  show: (notice: Notice) => Promise<void> = () => Promise.resolve(),
): Promise<{ shown: Notice[]; problems: string[] }> {
  const shown: Notice[] = [], problems: string[] = [];
  using store = new Store(`${home.folder}/db.sqlite`);
  const notifications = new Notifications({
    store,
    show: (notice) => (shown.push(notice), show(notice)),
    onProblem: (message) => problems.push(message),
  });
  await pair.start();
  notifications.follow(() => home.running!.status());
  await during();
  home.events.forEach((event) => notifications.tell(event));
  await notifications.end();
  await pair.stop();
  return { shown, problems };
}

Deno.test("notifications: a conflict, and a peer that is back after long, as real peers bring them; nothing twice", async () => {
  await using pair = await Pair.make();
  const { anna, bert } = pair;
  bert.trust(anna);
  bert.command((store) => {
    const peer = store.peers.byName("anna")!;
    store.peers.markSeen(peer.number, Date.now() - 5 * 3_600_000);
  });
  const write = (path: string, text: string) => Deno.writeTextFile(path, text);
  const arrives = (text: string) =>
    eventually("the file arrives", async () => {
      assert.equal(await Deno.readTextFile(`${bert.synced}/plan.txt`), text);
      assert.equal(bert.running!.status().peers[0]!.inSync, true);
    });
  const conflict = () =>
    eventually("the conflict is told", () => assert.ok(bert.events.some(({ kind }) => kind === "conflict")));
  const first = await noticesOf(pair, bert, async () => {
    await write(`${anna.watched}/plan.txt`, "first\n");
    await arrives("first\n");
    await write(`${bert.synced}/plan.txt`, "by hand\n");
    await write(`${anna.watched}/plan.txt`, "second\n");
    await arrives("second\n");
    await conflict();
  });
  assert.deepEqual(first.shown.map(({ title }) => title).sort(), [
    "A file was changed on both sides",
    "Back in sync with anna",
  ]);
  assert.ok(first.shown.some(({ text }) => text.includes("plan")));

  bert.events.length = 0;
  const again = await noticesOf(pair, bert, () => arrives("second\n"));
  assert.deepEqual(again, { shown: [], problems: [] });

  // What shows them is missing: that is told once, and everything goes on.
  bert.events.length = 0;
  const mute = await noticesOf(pair, bert, async () => {
    await write(`${bert.synced}/plan.txt`, "by hand once more\n");
    await write(`${anna.watched}/plan.txt`, "third\n");
    await arrives("third\n");
    await conflict();
  }, (notice) => showOnDesktop("freebsd", notice));
  assert.equal(mute.shown.length, 1);
  assert.deepEqual(mute.problems, [
    "a notification (A file was changed on both sides) could not be shown on the desktop: mirrorsync knows no way to " +
    "show them on freebsd",
  ]);
});

Deno.test("notifications: what is in a file's name is never taken for script or markup", () => {
  const notice = { title: "T", text: '<b>&"; $(rm) `x` -e display' };
  const linux = showingOn("linux", notice)!;
  assert.deepEqual(linux.args.slice(-3), ["--", "MirrorSync: T", '&lt;b&gt;&amp;"; $(rm) `x` -e display']);
  const mac = showingOn("darwin", notice)!;
  assert.deepEqual(mac.args.slice(-3), ["end run", "T", notice.text]);
  const windows = showingOn("windows", notice)!;
  assert.ok(!windows.args.join(" ").includes("rm"));
  assert.equal(windows.env["MIRRORSYNC_TEXT"], notice.text);
});

Deno.test({
  name: "notifications: a system without the program for it is told in one line",
  ignore: Deno.build.os === "darwin",
  fn: () =>
    assert.rejects(
      showOnDesktop("darwin", { title: "Test", text: "Nobody sees this." }),
      /^Error: \/usr\/bin\/osascript is not there: /,
    ),
});

Deno.test({
  name: "notifications: a desktop that does not answer is told in one line",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const before = Deno.env.get("DBUS_SESSION_BUS_ADDRESS");
    Deno.env.set("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent");
    try {
      await assert.rejects(
        showOnDesktop("linux", { title: "Test", text: "Nobody sees this." }),
        /^Error: \/usr\/bin\/notify-send (?:failed with 1: .+|is not there \(on Debian .* libnotify-bin\).*)$/,
      );
    } finally {
      if (before === undefined) Deno.env.delete("DBUS_SESSION_BUS_ADDRESS");
      else Deno.env.set("DBUS_SESSION_BUS_ADDRESS", before);
    }
  },
});
