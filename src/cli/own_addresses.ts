import { isIPv4 } from "node:net";
import { MAX_INVITE_ADDRESSES } from "../identity/invite.ts";
import type { Address } from "../domain/ports.ts";
import { formatAddress, parseAddress } from "../link/address.ts";

/** What a system tells of its network. */
export interface Network {
  readonly hostName: string;
  /** Addresses of its network cards. */
  readonly hosts: readonly string[];
}

/** This computer's network. */
export function ownNetwork(): Network {
  return { hostName: Deno.hostname(), hosts: Deno.networkInterfaces().map(({ address }) => address) };
}

/** Whether nobody but this computer can reach a host. */
export function isLoopback(host: string): boolean {
  return /^127\./.test(host) || host === "::1" || host === "localhost";
}

/**
 * Where others may reach a listener on this computer, the likeliest first: at the host it listens on, or where that is every
 * address of this computer, at each of them and by its name; at the loopback address when there is nothing else.
 */
export function reachableAddresses({ host, port }: Address, network: Network): string[] {
  if (host !== "::" && host !== "0.0.0.0") return [formatAddress({ host, port })];
  const hosts = network.hosts.filter((each) => !isLoopback(each) && (host === "::" || isIPv4(each)));
  // A link-local address means nothing on another computer: there it lacks the name of the network card.
  const useful = hosts.filter((each) => !/^(?:169\.254\.|fe[89ab])/i.test(each));
  const sorted = [...useful.filter(isIPv4), ...useful.filter((each) => !isIPv4(each))];
  const named = sorted.length > 0 && isHostName(network.hostName) ? [network.hostName] : [];
  const found = [...sorted.slice(0, MAX_INVITE_ADDRESSES - named.length), ...named];
  return (found.length > 0 ? found : ["127.0.0.1"]).map((each) => formatAddress({ host: each, port }));
}

function isHostName(name: string): boolean {
  try {
    return !isLoopback(parseAddress(name).host);
  } catch {
    return false; // a name that no address can have: it is left out
  }
}
