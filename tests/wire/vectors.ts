import frames from "../vectors/frames.json" with { type: "json" };
import tree from "../vectors/tree.json" with { type: "json" };

/** A frame of `docs/PROTOCOL.md`, byte for byte. */
export interface FrameVector {
  readonly name: string;
  readonly about: string;
  /** In the order of its keys. */
  readonly header: Readonly<Record<string, unknown>>;
  /** Hex, as it travels. */
  readonly content: string;
  /** The whole frame, hex. */
  readonly bytes: string;
  /** Compressed content only: what it unpacks to, hex. */
  readonly unpacked?: string;
}

export const FRAMES: readonly FrameVector[] = frames as FrameVector[];
export const TREE = tree;

/** One of {@linkcode FRAMES}. */
export function frameVector(name: string): FrameVector {
  const found = FRAMES.find((vector) => vector.name === name);
  if (found === undefined) throw new Error(`no vector is named ${name}`);
  return found;
}

/** Every named sequence of bytes that the document shows, in hex. */
export function namedBytes(): Map<string, string> {
  return new Map([
    ...FRAMES.map(({ name, bytes }) => [name, bytes] as const),
    ...tree.entries.map(({ name, bytes }) => [name, bytes] as const),
    [tree.listing.name, tree.listing.bytes],
  ]);
}
