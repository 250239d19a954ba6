import { gunzipSync } from "node:zlib";
import type { FileNode } from "../../simulation/memory_nodes.ts";
import { type Backup, VolatileDatabase } from "../../simulation/volatile_database.ts";
import type { MemoryTree } from "../../simulation/memory_tree.ts";
import type { WholeFrame } from "./frame_splitter.ts";
import { TwoPeers } from "./two_peers.ts";

/** A frame that one real peer has sent to another one. */
export interface CapturedFrame extends WholeFrame {
  /** Its header as it is meant. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** What it asks for; of a reply: what was asked for. */
  readonly action: string;
  readonly isReply: boolean;
}

/** The script of a piece, with what has to be known to read it. */
export interface CapturedRecipe {
  readonly script: Uint8Array;
  readonly stretch: { readonly offset: number; readonly length: number; readonly baseBytes: number };
}

/** What lies on a computer in the middle of its work, as a crash leaves it. */
export interface Aftermath {
  readonly backup: Backup;
  /** The files of `synced/`, what is in staging too. */
  readonly files: ReadonlyMap<string, Pick<FileNode, "content" | "mtimeMs" | "executable">>;
}

/** What two real peers have said to each other and written on their disks. */
export interface Captures {
  readonly frames: readonly CapturedFrame[];
  readonly recipes: readonly CapturedRecipe[];
  /** Contents that travelled packed. */
  readonly packed: readonly Uint8Array[];
  readonly journals: readonly Uint8Array[];
  readonly chunkLists: readonly Uint8Array[];
  readonly listings: readonly Uint8Array[];
  /** Contents of requests and replies that are JSON. */
  readonly json: readonly Uint8Array[];
  /** What is in the table `facts` and is read by other processes. */
  readonly facts: readonly unknown[];
  /** A moment in which a journal was there. */
  readonly aftermath: Aftermath;
}

/** Frames of one kind that are kept. */
const KEPT = 8;
/** A frame that is longer is not thrown at anybody: what matters of it is at its beginning. */
const MAX_FRAME_BYTES = 24 * 1024;

/** Has two real peers talk, always in the same way, and keeps what came of it. */
export async function capture(): Promise<Captures> {
  const peers = new TwoPeers("captures", [new VolatileDatabase(), new VolatileDatabase()]);
  const frames: CapturedFrame[] = [];
  const recipes: CapturedRecipe[] = [];
  const packed: Uint8Array[] = [], chunkLists: Uint8Array[] = [], listings: Uint8Array[] = [];
  const json: Uint8Array[] = [];
  const journals = new Map<string, Uint8Array>();
  const facts = new Map<string, unknown>();
  const asked = new Map<unknown, string>();
  const counts = new Map<string, number>();
  peers.hub.onArrival = (_, frame) => {
    const fields = JSON.parse(new TextDecoder().decode(frame.header)) as Record<string, unknown>;
    const isReply = fields["action"] === undefined;
    if (!isReply) asked.set(fields["id"], String(fields["action"]));
    const action = isReply ? asked.get(fields["id"]) ?? "?" : String(fields["action"]);
    const kind = `${isReply} ${action} ${Object.keys(fields)} ${fields["coding"]} ${
      frame.content.length > 0
    }`;
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    const { content } = frame;
    if (count < KEPT && frame.bytes.length <= MAX_FRAME_BYTES) {
      frames.push({ ...frame, fields, action, isReply });
    }
    if (content.length === 0) return frame.bytes;
    if (action === "piece") {
      const coding = String(fields["coding"] ?? "plain");
      const isPacked = coding.endsWith("gzip");
      if (isPacked && content.length < MAX_FRAME_BYTES) packed.push(content);
      if (coding.startsWith("script")) {
        const script = isPacked ? new Uint8Array(gunzipSync(content)) : content;
        const { offset, length, size } = fields as Record<string, number>;
        recipes.push({ script, stretch: { offset: offset!, length: length!, baseBytes: size! } });
      }
    }
    if (action === "resume" || (isReply && action === "chunks")) chunkLists.push(content);
    if (isReply && action === "tree_buckets") listings.push(content);
    if (action === "verify" || action === "repair" || action === "compare") json.push(content);
    return frame.bytes;
  };
  let aftermath: Aftermath | null = null;
  await peers.converse(() => {
    for (const journal of peers.journals()) {
      journals.set(`${journal.length}`, journal);
      aftermath ??= { backup: peers.bert.database.backup(), files: filesOf(peers.bert.synced) };
    }
    for (const { store, process } of [peers.anna, peers.bert]) {
      if (process === null) continue;
      for (const key of store.facts.keys("")) facts.set(key, store.facts.get(key));
    }
  });
  peers.end();
  if (peers.violations.length > 0) throw new Error(`the real peers failed: ${peers.violations.join("; ")}`);
  if (aftermath === null) throw new Error("the real peers have written no journal");
  return {
    aftermath,
    ...{ frames, recipes, packed, chunkLists, listings, json },
    journals: [...journals.values()],
    facts: [...facts.values()],
  };
}

function filesOf(tree: MemoryTree): Aftermath["files"] {
  const files = new Map<string, Pick<FileNode, "content" | "mtimeMs" | "executable">>();
  for (const [path, node] of tree.all()) {
    // Large ones come without a journal.
    if (node.kind === "file" && node.content.length < 64 * 1024) files.set(path, { ...node });
  }
  return files;
}
