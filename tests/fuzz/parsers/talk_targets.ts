import assert from "node:assert/strict";
import { hash as hashOf } from "node:crypto";
import { readScript } from "../../../src/chunks/script.ts";
import { ChunkList } from "../../../src/chunks/chunk_list.ts";
import { parseRawHeader } from "../../../src/domain/header.ts";
import { messageOf, MirrorError } from "../../../src/domain/mirror_error.ts";
import { type Observation } from "../../../src/domain/observation.ts";
import type { UnprovenConnection } from "../../../src/domain/ports.ts";
import { parseRelativePath } from "../../../src/domain/relative_path.ts";
import type { Identity } from "../../../src/identity/identity.ts";
import type { Invite } from "../../../src/identity/invite.ts";
import { verifierOf } from "../../../src/identity/invite_proof.ts";
import { Link } from "../../../src/link/link.ts";
import { askToJoin } from "../../../src/link/pairing.ts";
import { parsePiece } from "../../../src/receive/piece.ts";
import { PairingHost } from "../../../src/peer/pairing_host.ts";
import { Outgoing } from "../../../src/send/outgoing.ts";
import { Similar } from "../../../src/send/similar.ts";
import { Store } from "../../../src/store/store.ts";
import { FrameReader } from "../../../src/wire/frame_reader.ts";
import { connectionPair, helloOf, ManualClock } from "../../receive/support.ts";
import { MemoryTree } from "../../simulation/memory_tree.ts";
import { Prng } from "../../simulation/prng.ts";
import { VolatileDatabase } from "../../simulation/volatile_database.ts";
import type { Captures } from "./captures.ts";
import { FrameSplitter } from "./frame_splitter.ts";
import { changedBytes, changedFrame, framed } from "./mutate.ts";
import { chanceIn, inPieces, type Target, typed } from "./target.ts";

const NOW_MS = Date.UTC(2026, 10, 22, 10);
const ID = "4f0c8c5e-8a55-4c9c-9d0a-3a4f3f1c2b1d";
const INVITE_MS = 600_000;

/** The words of a conversation for pairing, as two real sides have said them: always the same ones. */
export interface PairingTalk {
  readonly inviter: Identity;
  readonly joiner: Identity;
  readonly invite: Invite;
  /** What the joiner has sent, and what the inviter has answered. */
  readonly asked: Uint8Array;
  readonly answered: Uint8Array;
  /** The headers in them. */
  readonly headers: readonly object[];
}

/** Conversations: pairing from both sides, and a transfer whose receiver wants it otherwise. */
export function talkTargets(captures: Captures, talk: PairingTalk): Target[] {
  const resumes = captures.frames.filter(({ action }) => action === "resume");
  const frames = captures.frames.map(({ bytes }) => bytes);
  const sides = [talk.asked, talk.answered].map((bytes) => new FrameSplitter().push(bytes));
  const database = new VolatileDatabase();
  const emptyStore = new Store(":memory:");
  return [
    {
      name: "pairing's conversation",
      share: 5,
      mutated: (random) => {
        const side = random.int(0, 1);
        const said = sides[side]!.map((frame) =>
          random.chance(0.7) ? changedFrame(frame, random, frames) : frame.bytes
        );
        return new Uint8Array([side, ...said.flatMap((bytes) => [...bytes])]);
      },
      read: (input) =>
        input[0] === 0 ? hear(talk, database, input.subarray(1)) : ask(talk, input.subarray(1)),
    },
    {
      name: "resume of a transfer",
      share: 5,
      mutated: (random) => {
        const resume = random.pick(resumes);
        // A turn that counts, so that it is followed.
        const header = new TextEncoder().encode(
          JSON.stringify({ ...resume.fields, turn: 1, ...marksOf(random) }),
        );
        const content = random.chance(0.5) ? changedBytes(resume.content, random) : resume.content;
        return changedFrame({ header, content, bytes: framed(header, content) }, random, frames);
      },
      read: (input) => resumedTransfer(emptyStore, input),
    },
  ];
}

/** One side of a connection whose other side has said all it will ever say. */
class OneSided implements UnprovenConnection {
  readonly remoteAddress = "192.0.2.1:40000";
  readonly read: () => Promise<Uint8Array | null>;
  readonly written: Uint8Array[] = [];

  constructor(said: Uint8Array, random: Prng) {
    this.read = inPieces(said, random);
  }

  write(bytes: Uint8Array): Promise<void> {
    this.written.push(bytes.slice());
    return Promise.resolve();
  }

  closeWrite(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}

const PAIRING_CODES = [
  "bad_frame",
  "bad_header",
  "link_closed",
  "bad_certificate",
  "invite_refused",
  "unreachable",
];

/** The nonce and the ids of a conversation come from the runtime: for as long as it lasts, always the same ones. */
async function withoutChance<T>(work: () => Promise<T>): Promise<T> {
  const random = new Prng("pairing");
  const own = { getRandomValues: crypto.getRandomValues, randomUUID: crypto.randomUUID };
  crypto.getRandomValues = (array) => {
    if (array instanceof Uint8Array) array.set(random.bytes(array.length));
    return array;
  };
  crypto.randomUUID = () => random.uuid() as ReturnType<typeof crypto.randomUUID>;
  try {
    return await work();
  } finally {
    Object.assign(crypto, own);
  }
}

/** An inviter hears what somebody who may be anybody says, with the real table of invites. */
async function hear(talk: PairingTalk, database: VolatileDatabase, said: Uint8Array): Promise<void> {
  const { failures, answers } = await hearOnce(talk, database, said);
  assert.deepEqual(failures, [], "the inviter failed");
  for (const header of answers) {
    if (header["status"] === "error") {
      assert(PAIRING_CODES.includes(String(header["code"])), JSON.stringify(header));
    }
  }
}

async function hearOnce({ inviter, invite }: PairingTalk, database: VolatileDatabase, said: Uint8Array) {
  database.restore(null);
  const store = new Store(database);
  store.invites.add(
    { id: invite.id.toHex(), verifier: verifierOf(invite.secret), expiresMs: NOW_MS + INVITE_MS },
    NOW_MS,
  );
  const failures: string[] = [];
  const host = new PairingHost({
    store,
    clock: { now: () => NOW_MS, monotonic: () => NOW_MS, after: () => () => {} },
    fingerprint: () => inviter.fingerprint,
    name: inviter.name,
    onPaired: () => {},
    // A person is told of those who were refused, too.
    onRefused: (message) => {
      if (!message.includes(" was refused: ")) failures.push(message);
    },
  });
  const connection = new OneSided(said, chanceIn(said));
  await withoutChance(() => host.hear(connection));
  assert(store.peers.list().length <= 1);
  const written = new FrameSplitter().push(new Uint8Array(connection.written.flatMap((bytes) => [...bytes])));
  return {
    failures,
    answers: written.map(({ header }) => parseRawHeader(header)),
    written: new Uint8Array(written.flatMap(({ bytes }) => [...bytes])),
  };
}

/** A joiner is answered by an inviter that may say anything. */
async function ask({ joiner, invite }: PairingTalk, said: Uint8Array): Promise<void> {
  const connection = new OneSided(said, chanceIn(said));
  const self = { identity: joiner, name: joiner.name, port: 22600 };
  await typed(PAIRING_CODES, () => withoutChance(() => askToJoin(connection, invite, self)));
}

/** Lets two real sides pair, and keeps what they say. */
export async function talkOf(inviter: Identity, joiner: Identity): Promise<PairingTalk> {
  const random = new Prng("invite");
  const invite: Invite = {
    fingerprint: inviter.fingerprint,
    id: random.bytes(8),
    secret: random.bytes(16),
    addresses: ["192.0.2.1:22600"],
  };
  const empty = {
    inviter,
    joiner,
    invite,
    asked: new Uint8Array(0),
    answered: new Uint8Array(0),
    headers: [],
  };
  const database = new VolatileDatabase();
  // Each side is asked again with what the other one has said so far: no chance is in it, so it says the same.
  const challenge = (await hearOnce(empty, database, new Uint8Array(0))).written;
  const asking = new OneSided(challenge, new Prng(1));
  const self = { identity: joiner, name: joiner.name, port: 22600 };
  await typed(["unreachable"], () => withoutChance(() => askToJoin(asking, invite, self)));
  const asked = asking.written[0]!;
  const { written: answered, answers } = await hearOnce(empty, database, asked);
  assert.equal(answers.at(-1)?.["status"], "ok", "the two sides have paired");
  await withoutChance(() => askToJoin(new OneSided(answered, new Prng(1)), invite, self));
  const headers = [...answers, parseRawHeader(new FrameSplitter().push(asked)[0]!.header)];
  return { ...empty, asked, answered, headers };
}

const FILE = new Prng("file").bytes(20_000);
const FILE_PATH = parseRelativePath("large.bin");

/** Marks of which some fit the file. */
function marksOf(random: Prng): object {
  const offset = random.int(0, FILE.length);
  const mark = [offset, hashOf("sha256", FILE.subarray(0, offset), "hex")];
  return random.chance(0.5) ? { marks: [mark], plain: random.int(0, FILE.length) } : {};
}

/** A file is being sent, and the receiver says where to go on: whatever it says, what goes out is that file. */
export async function resumedTransfer(store: Store, input: Uint8Array): Promise<void> {
  const tree = new MemoryTree({ root: "/watched", now: () => NOW_MS });
  tree.save(FILE_PATH, FILE);
  const file = await tree.openRead(FILE_PATH);
  const clock = new ManualClock();
  const [near, far] = connectionPair("a", "b");
  const link = new Link({ connection: near, peer: { number: 1, name: "bert" }, clock, random: new Prng(1) });
  const hello = helloOf("bert", { process: ID, extensions: ["pieces"] });
  link.becomeFull(hello, hello);
  const observed: Observation = {
    ...{ path: FILE_PATH, diskPath: FILE_PATH, hash: null, provisional: false, held: null, ...file.opened },
    executable: false,
    kind: "file",
  };
  const outgoing = new Outgoing({
    ...{
      link,
      id: ID,
      observed,
      file,
      stat: file.opened,
      bases: [],
      restless: false,
      clock,
      onProgress: () => {},
    },
    similar: new Similar(store, 1),
  });
  const reader = new FrameReader(inPieces(input, chanceIn(input)));
  let has: ChunkList | null = null;
  await typed(["bad_frame", "bad_header", "link_closed"], async () => {
    const head = await reader.head();
    if (head === null) return;
    const header = parseRawHeader(head.headerBytes);
    if (head.contentBytes > input.length) return;
    const content = await reader.rest();
    has = ChunkList.parse(content);
    outgoing.resume(header, content);
  });
  const sent = follow(far, () => has);
  try {
    await typed(["changed_while_reading", "bad_header", "failed"], async () => {
      const passed = await outgoing.pass();
      assert.equal(passed?.hash, hashOf("sha256", FILE, "hex"));
      link.close(new MirrorError("link_closed", "all was sent"));
      assert.equal(await sent, FILE.length, "the pieces do not reach to the end");
    });
  } finally {
    link.close(new MirrorError("link_closed", "it is over"));
    far.close();
    file.close();
  }
}

/** Checks the pieces that come out; gives where the last one ends. */
async function follow(
  far: { readonly read: () => Promise<Uint8Array | null> },
  has: () => ChunkList | null,
): Promise<number> {
  const splitter = new FrameSplitter();
  let end: number | null = null;
  try {
    for (let bytes = await far.read(); bytes !== null; bytes = await far.read()) {
      for (const { header, content } of splitter.push(bytes)) {
        const { offset, length, base } = parsePiece(parseRawHeader(header), content.length);
        assert(end === null || end === offset, "a piece does not begin where the last one has ended");
        end = offset + length;
        if (base === null) assert.deepEqual(content, FILE.slice(offset, end));
        else for (const _ of readScript(content, { offset, length, baseBytes: has()?.sizeBytes ?? 0 }));
      }
    }
  } catch (error) {
    if (!(error instanceof MirrorError && error.code === "link_closed")) {
      throw new Error(messageOf(error), { cause: error });
    }
  }
  return end ?? 0;
}
