import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { eventually } from "../../helpers/eventually.ts";
import type { JsonObject } from "../../helpers/json.ts";
import { frame, makeIdentity, operation, PlainClient } from "../../helpers/plain_client.ts";
import { type Peer, said, World } from "../../helpers/program.ts";
import {
  assertSameTree,
  exists,
  filesWithContent,
  put,
  sha256,
  snapshot,
  type Tree,
} from "../../helpers/tree.ts";
import { Dice } from "./dice.ts";
import { CUT_PATH, HostileFrames } from "./frames.ts";
import { HostileLink, type Manner } from "./hostile_link.ts";
import { lyingAnswer, truthfulAnswer } from "./answers.ts";
import type { Targets } from "./nasty.ts";

/** Frames between two honest operations on the same link, at most. */
const VOLLEY = 200;
/** Frames between two looks at everything that must not change. */
const LOOK_EVERY = 2500;
/** More than this the process must never hold. It has about 150 MiB when it starts, and may buffer 8 MiB and more for each link. */
const MAX_RESIDENT_BYTES = 700 * 1024 * 1024;
const CANARY = "nobody may change this";
const OWN = "the owner's own file in synced/";

/** What a campaign found; everything that must not be has thrown. */
export interface Report {
  readonly seed: number;
  readonly frames: number;
  readonly links: number;
  readonly honest: number;
  readonly seconds: number;
  readonly residentAtStartBytes: number;
  readonly residentAtMostBytes: number;
  /** Replies by their code. */
  readonly codes: ReadonlyMap<string, number>;
}

/**
 * Has a trusted peer throw `frames` hostile frames at a real `mirrorsync run`, over TLS, with honest operations in between, on its
 * links and on those of another peer.
 *
 * @throws when anything outside of `synced/` has changed, an honest operation was not served, the process has ended or holds too much
 * memory, or what it leaves behind is not in order.
 */
export async function campaign(frames: number, seed: number): Promise<Report> {
  await using world = await World.create();
  const startMs = performance.now();
  const place = await Place.make(world);
  const { anna } = place;
  const dice = new Dice(seed);
  // The order of answers is not the seed's: their dice are others, so that the frames stay the same.
  const answerDice = new Dice(seed + 1);
  const hostile = await makeIdentity("hostile");
  const friend = await makeIdentity("friend");
  for (const [name, { certificate }] of Object.entries({ hostile, friend })) {
    await Deno.writeTextFile(`${world.folder}/${name}.pem`, certificate);
    await anna.trust(`${world.folder}/${name}.pem`, { name });
  }
  const before = await place.look();
  await anna.start();
  const residentAtStartBytes = place.residentBytes();
  let residentAtMostBytes = residentAtStartBytes;
  const codes = new Map<string, number>();
  const make = new HostileFrames(
    dice,
    place.targets,
    [hostile, friend].map((each) => each.certificate).concat(anna.certificate),
  );
  const friendly = await PlainClient.connect({ port: anna.port, server: anna.certificate, identity: friend });
  let honest = 0;
  let links = 0;
  let lookAt = LOOK_EVERY;

  const open = async (manner: Manner): Promise<HostileLink> => {
    links++;
    const to = { port: anna.port, certificate: anna.certificate, identity: hostile };
    const answer = (header: JsonObject) =>
      manner === "lying" ? lyingAnswer(answerDice, header) : truthfulAnswer(header);
    return await HostileLink.open(to, manner, codes, answer);
  };

  const serves = async (link: HostileLink): Promise<void> => {
    const path = `honest/${honest % 200}.txt`;
    const text = `honest ${honest++}`;
    const header = operation("update", path, text);
    const reply = await link.request(frame(header, new TextEncoder().encode(text)), header.id);
    assert.equal(link.wrong, null);
    if (reply === null && link.manner === "lying") return;
    assert.equal(reply?.status, "ok", `an honest operation was not served: ${JSON.stringify(reply)}`);
    assert.equal(await Deno.readTextFile(`${anna.synced}/${path}`), text);
    await friendly.stillServes(`friend/${honest % 50}.txt`, text);
  };

  const look = async (): Promise<void> => {
    assert.equal(anna.running?.code, null, `run has ended\n${said(anna.running!)}`);
    residentAtMostBytes = Math.max(residentAtMostBytes, place.residentBytes());
    assert.ok(residentAtMostBytes < MAX_RESIDENT_BYTES, `it holds ${residentAtMostBytes} bytes of memory`);
    assertSameTree(before, await place.look(), "everything around synced/");
    await place.plant();
  };

  try {
    for (let sent = 0; sent < frames;) {
      await using link = await open(dice.pick<Manner>(["raw", "plain", "full", "full", "lying"]));
      const life = 100 + dice.below(1500);
      let over = false;
      for (let age = 0; age < life && sent < frames && !over;) {
        const volley: Uint8Array[] = [];
        let last: "goes on" | "has to end" | "is cut" = "goes on";
        const size = 1 + dice.below(VOLLEY);
        age += size;
        for (let i = 0; i < size && sent < frames && last === "goes on"; i++) {
          const shot = make.next();
          volley.push(shot.bytes);
          last = shot.link;
          sent++;
        }
        await link.send(joined(volley));
        over = last !== "goes on" || link.ended;
        if (last === "has to end") await link.end();
        else if (last === "goes on") await serves(link);
        assert.equal(link.wrong, null);
        assert.ok(!link.ended || over || link.manner === "lying", "the link was closed without a reason");
      }
      if (sent >= lookAt) {
        lookAt += LOOK_EVERY;
        await look();
      }
    }
    await look();
    await place.settle(() => open("full"));
  } catch (error) {
    const lines = anna.running?.stderr.split("\n").slice(-20).map((line) => line.slice(0, 300)) ?? [];
    throw new Error(`with seed ${seed}; run said at last:\n${lines.join("\n")}`, { cause: error });
  } finally {
    await friendly[Symbol.asyncDispose]();
  }
  await look();
  // What nobody foresaw is answered so: none of these frames may bring the program there.
  const unforeseen = [...codes.keys()].filter((code) => code.startsWith("io_error"));
  assert.deepEqual(unforeseen, []);
  await anna.stop();
  assertSameTree(before, await place.look(), "everything around synced/");
  await place.inOrder();
  const seconds = (performance.now() - startMs) / 1000;
  return { seed, frames, links, honest, seconds, residentAtStartBytes, residentAtMostBytes, codes };
}

/** A peer with a tree of canaries around it, and with symlinks in `synced/` that lead to them. */
class Place {
  private constructor(readonly world: World, readonly anna: Peer, readonly targets: Targets) {}

  static async make(world: World): Promise<Place> {
    const anna = await world.peer("anna");
    for (const folder of ["outside", "outside/d", "anna/beside"]) {
      await put(`${world.folder}/${folder}/canary.txt`, CANARY);
      await put(`${world.folder}/${folder}/f0`, CANARY);
    }
    for (let i = 0; i < 20; i++) await put(`${anna.watched}/w${i}.txt`, `watched ${i}`);
    await put(`${anna.synced}/mine.txt`, OWN);
    const key = await Deno.readTextFile(`${anna.home}/key.pem`);
    const place = new Place(world, anna, {
      absolute: [
        ...[`${world.folder}/outside/canary.txt`, `${anna.home}/key.pem`, `${anna.home}/mirrorsync.db`],
        ...[`${anna.watched}/w0.txt`, `${anna.synced}/absolute`, "/etc/passwd", "/tmp/mirrorsync-stolen"],
      ],
      symlinks: ["out", "up", "home", "watched", "file", "loop", "real/out"],
      hashes: [CANARY, "watched 0", OWN, key, ""].map(sha256),
    });
    await place.plant();
    return place;
  }

  /** Puts the symlinks where they are not, or not any more. */
  async plant(): Promise<void> {
    const { anna, world } = this;
    await Deno.mkdir(`${anna.synced}/real`, { recursive: true });
    const links: Record<string, string> = {
      out: `${world.folder}/outside`,
      up: "..",
      home: anna.home,
      watched: "../watched",
      file: `${world.folder}/outside/canary.txt`,
      loop: "loop",
      "real/out": "../../../outside",
    };
    for (const [name, to] of Object.entries(links)) {
      await Deno.symlink(to, `${anna.synced}/${name}`).catch((error) => {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
      });
    }
  }

  /** All that must stay as it is: everything but `synced/`, the trash (what it has replaced or deleted there) and what the database is made of. */
  async look(): Promise<Tree> {
    const { anna, world } = this;
    const own =
      /^anna\/(?:synced(?:\/|$)|home$|home\/(?:mirrorsync\.db(?:-wal|-shm)?|lock)$|home\/trash(?:\/|$))/;
    const tree = await snapshot(world.folder);
    const names: string[] = [];
    for await (const { name } of Deno.readDir(anna.home)) names.push(name);
    for (const name of names) assert.match(name, HOME_FILES, `${name} in the home does not belong there`);
    return new Map([...tree].filter(([path]) => !own.test(path)));
  }

  residentBytes(): number {
    const status = Deno.readTextFileSync(`/proc/${this.anna.running!.pid}/status`);
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
  }

  /** Once nobody is connected any more, and no beginning of a file is going to be continued, nothing is staged. */
  async settle(open: () => Promise<HostileLink>): Promise<void> {
    {
      await using link = await open();
      await link.send(frame({ action: "settled", value: true, complete: true }));
      const ping = { id: crypto.randomUUID(), action: "ping" };
      assert.equal((await link.request(frame(ping), ping.id))?.status, "ok");
    }
    await eventually("nothing is staged any more", async () => {
      assert.equal(await exists(`${this.anna.synced}/.mirrorsync-staging`), false);
    });
  }

  /** After the end: the database is whole, the owner's own file is there, and so is nothing that never came whole. */
  async inOrder(): Promise<void> {
    const { anna } = this;
    using database = new DatabaseSync(await anna.databasePath(), { readOnly: true });
    assert.deepEqual(database.prepare("PRAGMA integrity_check").all().map((row) => ({ ...row })), [{
      integrity_check: "ok",
    }]);
    assert.deepEqual(database.prepare("PRAGMA foreign_key_check").all(), []);
    assert.notDeepEqual(await filesWithContent(anna.synced, OWN), [], "the owner's own file is gone");
    assert.equal(await exists(`${anna.synced}/${CUT_PATH}`), false);
    assert.equal(await exists("/tmp/mirrorsync-stolen"), false);
  }
}

const HOME_FILES = /^(?:key\.pem|cert\.pem|mirrorsync\.toml|mirrorsync\.db(?:-wal|-shm)?|lock|trash)$/;

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
