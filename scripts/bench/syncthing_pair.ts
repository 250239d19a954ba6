import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "../support/free_port.ts";
import { sleep } from "../support/until.ts";
import type { Pair } from "./pair.ts";
import type { Wire } from "./wire.ts";

const FOLDER = "bench";
const API_KEY = "mirrorsync-bench";

interface Instance {
  readonly name: string;
  readonly home: string;
  readonly folder: string;
  readonly id: string;
  readonly configVersion: string;
  readonly port: number;
  readonly apiPort: number;
  pid: number | null;
  ended: Promise<void>;
}

/** Syncthing with Syncthing on loopback: nothing that talks to the world, the watcher as quick as it can be told. */
export async function makeSyncthingPair(folder: string, wire: Wire | null): Promise<Pair> {
  const sender = await generate("sender", folder);
  const receiver = await generate("receiver", folder);
  const dial = async ({ port }: Instance) => await wire?.through(port) ?? port;
  writeConfig(sender, receiver, await dial(receiver), "sendonly");
  writeConfig(receiver, sender, await dial(sender), "receiveonly");
  const checkAlive = () => {
    for (const instance of [sender, receiver]) {
      if (instance.pid === -1) {
        throw new Error(`syncthing (${instance.name}) ended by itself, see ${instance.home}/log`);
      }
    }
  };
  const completion = async () => {
    const done = await api<{ completion: number; needItems: number; needDeletes: number }>(
      sender,
      "GET",
      `db/completion?folder=${FOLDER}&device=${receiver.id}`,
    );
    return done.completion === 100 && done.needItems === 0 && done.needDeletes === 0;
  };
  return {
    name: "Syncthing",
    watched: sender.folder,
    synced: receiver.folder,
    checkAlive,
    pids: () => ({ sender: sender.pid!, receiver: receiver.pid! }),
    startReceiver: async () => {
      start(receiver);
      await answers(receiver);
    },
    killReceiver: () => end(receiver, "SIGKILL"),
    startSender: () => Promise.resolve(start(sender)),
    linked: async () => {
      await answers(sender);
      for (let attempt = 0;; attempt++) {
        checkAlive();
        const { connections } = await api<{ connections: Record<string, { connected: boolean }> }>(
          sender,
          "GET",
          "system/connections",
        );
        const { state } = await api<{ state: string }>(sender, "GET", `db/status?folder=${FOLDER}`);
        if (connections[receiver.id]?.connected === true && state === "idle" && await completion()) return;
        if (attempt === 600) throw new Error("the two Syncthings do not connect");
        await sleep(100);
      }
    },
    nudge: async () => {
      await api(sender, "POST", `db/scan?folder=${FOLDER}`);
    },
    settled: async () => {
      for (let attempt = 0; attempt < 50; attempt++) {
        if (await completion()) return true;
        await sleep(100);
      }
      return false;
    },
    stop: async () => {
      for (const instance of [sender, receiver]) await end(instance, "SIGTERM");
    },
  };
}

async function generate(name: string, parent: string): Promise<Instance> {
  const home = join(parent, name, "home");
  const folder = join(parent, name, "folder");
  for (const path of [home, folder]) Deno.mkdirSync(path, { recursive: true });
  const run = (...flags: string[]) =>
    new Deno.Command("syncthing", { args: ["generate", `--home=${home}`, ...flags], stdin: "null" }).output();
  // Version 1 has to be told not to ask the network for ports; version 2 no longer knows the flags.
  let { code, stderr } = await run("--no-default-folder", "--skip-port-probing");
  if (code !== 0) ({ code, stderr } = await run());
  if (code !== 0) throw new Error(`syncthing generate: ${new TextDecoder().decode(stderr).trim()}`);
  const config = Deno.readTextFileSync(join(home, "config.xml"));
  return {
    name,
    home,
    folder,
    id: /<device id="([A-Z0-9-]{60,})"/.exec(config)![1]!,
    configVersion: /<configuration version="(\d+)"/.exec(config)![1]!,
    port: freePort(),
    apiPort: freePort(),
    pid: null,
    ended: Promise.resolve(),
  };
}

function writeConfig(
  own: Instance,
  other: Instance,
  otherPort: number,
  type: "sendonly" | "receiveonly",
): void {
  const device = (instance: Instance, port: number) =>
    `<device id="${instance.id}" name="${instance.name}" compression="metadata">` +
    `<address>tcp://127.0.0.1:${port}</address></device>`;
  Deno.writeTextFileSync(
    join(own.home, "config.xml"),
    `<configuration version="${own.configVersion}">
  <folder id="${FOLDER}" label="${FOLDER}" path="${own.folder}" type="${type}" rescanIntervalS="3600"
      fsWatcherEnabled="true" fsWatcherDelayS="1">
    <device id="${own.id}"></device><device id="${other.id}"></device>
    <minDiskFree unit="">0</minDiskFree>
  </folder>
  ${device(own, own.port)}
  ${device(other, otherPort)}
  <gui enabled="true" tls="false"><address>127.0.0.1:${own.apiPort}</address><apikey>${API_KEY}</apikey></gui>
  <options>
    <listenAddress>tcp://127.0.0.1:${own.port}</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled>
    <natEnabled>false</natEnabled>
    <reconnectionIntervalS>1</reconnectionIntervalS>
    <startBrowser>false</startBrowser>
    <urAccepted>-1</urAccepted>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
    <crashReportingEnabled>false</crashReportingEnabled>
    <setLowPriority>false</setLowPriority>
    <minHomeDiskFree unit="">0</minHomeDiskFree>
  </options>
</configuration>
`,
  );
}

function start(instance: Instance): void {
  const log = openSync(join(instance.home, "log"), "a");
  try {
    const child = spawn("syncthing", ["serve", `--home=${instance.home}`, "--no-browser", "--no-restart"], {
      stdio: ["ignore", log, log],
      detached: true,
      env: { ...Deno.env.toObject(), STNOUPGRADE: "1", STMONITORED: "yes" }, // one process, no monitor above it,
    });
    instance.pid = child.pid ?? -1;
    instance.ended = new Promise((resolve) =>
      child.on("exit", () => {
        instance.pid = -1;
        resolve();
      })
    );
  } finally {
    closeSync(log);
  }
}

async function end(instance: Instance, signal: "SIGTERM" | "SIGKILL"): Promise<void> {
  if (instance.pid === null || instance.pid === -1) return;
  try {
    Deno.kill(instance.pid, signal);
  } catch {
    // it has ended already
  }
  const giveUp = setTimeout(
    () => instance.pid !== null && instance.pid > 0 && Deno.kill(instance.pid, "SIGKILL"),
    10_000,
  );
  await instance.ended;
  clearTimeout(giveUp);
  instance.pid = null;
}

async function answers(instance: Instance): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      await api(instance, "GET", "system/ping");
      return;
    } catch (error) {
      if (attempt === 300) throw new Error(`syncthing (${instance.name}) does not answer`, { cause: error });
      await sleep(100);
    }
  }
}

async function api<T>(instance: Instance, method: "GET" | "POST", path: string): Promise<T> {
  const response = await fetch(`http://127.0.0.1:${instance.apiPort}/rest/${path}`, {
    method,
    headers: { "X-API-Key": API_KEY },
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`syncthing ${path}: ${response.status} ${text.trim()}`);
  return (text.trim() === "" ? null : JSON.parse(text)) as T;
}
