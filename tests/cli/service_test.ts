import assert from "node:assert/strict";
import { tempFolder } from "../receive/support.ts";
import { capture } from "./capture.ts";

Deno.test("service install --dry-run prints what it would do and does nothing; what is wrong is told before", async () => {
  await using temp = await tempFolder();
  const [home, watched, synced] = ["home", "watched", "synced"].map((name) => `${temp.path}/${name}`);
  const env = { HOME: temp.path, USERNAME: "ann" };
  const service = (...args: string[]) => capture(["--home", home!, "service", ...args], env);
  const install = (...more: string[]) =>
    service("install", "--watched", watched!, "--synced", synced!, "--dry-run", ...more);

  assert.match((await install()).err, /there is no MirrorSync in .*: make one with .* init/);
  assert.equal((await capture(["--home", home!, "init"], env)).status, 0);
  assert.match((await install()).err, /the watched folder .*\/watched does not exist.*mkdir -p/);
  await Deno.mkdir(watched!);
  await Deno.mkdir(synced!);
  assert.match(
    (await service("install", "--dry-run")).err,
    /which folder is the watched one\? Give --watched/,
  );

  const before = (await Array.fromAsync(Deno.readDir(home!))).map(({ name }) => name).sort();
  const shown = await install();
  assert.equal(shown.status, 0, shown.err);
  assert.match(shown.out, /^write .*:$/m);
  assert.match(shown.out, /^run .*(?:systemctl|launchctl|schtasks)/m);
  const { steps } = JSON.parse((await install("--json")).out);
  const { content } = steps.find((step: { do: string }) => step.do === "write");
  for (const word of ["/opt/mirror sync/mirrorsync", home!, watched!, synced!]) {
    assert.ok(content.includes(word), `${word} in ${content}`);
  }
  assert.equal((await service("uninstall", "--dry-run")).status, 0);
  assert.deepEqual((await Array.fromAsync(Deno.readDir(home!))).map(({ name }) => name).sort(), before);
  const there = (await Array.fromAsync(Deno.readDir(temp.path))).map(({ name }) => name).sort();
  assert.deepEqual(there, ["home", "synced", "watched"]);
});
