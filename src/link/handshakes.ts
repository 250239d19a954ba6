/** Unfinished handshakes that a listener keeps at once. */
export const MAX_HANDSHAKES = 64;

/**
 * The handshakes that are under way. One too many drops the oldest of those that come from where most of them come from: so a flood
 * pushes itself out, and not a trusted peer whose own handshake takes longer, as its answers come from far away.
 */
export class Handshakes {
  /** What ends each of them, in the order of their beginnings, with the network that it came from. */
  readonly #underWay = new Map<() => void, string>();

  /** Counts one more. `drop` is called, and must call {@linkcode Handshakes.end}, when it has to make room. */
  begin(drop: () => void, host: string): void {
    if (this.#underWay.size >= MAX_HANDSHAKES) this.#oldestOfMost()?.();
    this.#underWay.set(drop, networkOf(host));
  }

  has(drop: () => void): boolean {
    return this.#underWay.has(drop);
  }

  end(drop: () => void): void {
    this.#underWay.delete(drop);
  }

  dropAll(): void {
    for (const drop of [...this.#underWay.keys()]) drop();
  }

  #oldestOfMost(): (() => void) | null {
    const counts = new Map<string, number>();
    for (const network of this.#underWay.values()) counts.set(network, (counts.get(network) ?? 0) + 1);
    const most = Math.max(...counts.values());
    for (const [drop, network] of this.#underWay) if (counts.get(network) === most) return drop;
    return null;
  }
}

/** An IPv4 address, or the 64 bits of an IPv6 address that name its network: whoever has one of these has them all. */
function networkOf(host: string): string {
  if (!host.includes(":") || host.startsWith("::ffff:")) return host;
  const [start = ""] = host.split("::");
  return start.split(":").slice(0, 4).join(":");
}
