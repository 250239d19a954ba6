import { isIPv4, isIPv6 } from "node:net";
import { MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";

/** The port that is meant where none is written. */
export const DEFAULT_PORT = 22600;

/**
 * Reads `HOST:PORT` or `HOST`: a host name, an IPv4 address, or an IPv6 address in brackets. Port 0, with which a listener
 * lets the system choose, is accepted.
 *
 * @throws {MirrorError} `wrong_usage` naming the text and what is wrong with it.
 */
export function parseAddress(text: string): Address {
  const bracketed = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
  if (bracketed !== null) {
    const host = bracketed[1]!;
    if (!isIPv6(host)) throw wrong(text, `${JSON.stringify(host)} is not an IPv6 address`);
    return { host, port: parsePort(text, bracketed[2]) };
  }
  if (text.startsWith("[")) throw wrong(text, "an IPv6 address with a port is written [::1]:22600");
  if (isIPv6(text)) throw wrong(text, `write an IPv6 address in brackets: [${text}]:${DEFAULT_PORT}`);
  if (text.includes("://")) throw wrong(text, "write HOST:PORT, not a URL");
  const colon = text.indexOf(":");
  if (colon !== text.lastIndexOf(":")) {
    throw wrong(
      text,
      `it has more than one colon; an IPv6 address is written in brackets: [::1]:${DEFAULT_PORT}`,
    );
  }
  const host = colon < 0 ? text : text.slice(0, colon);
  if (host === "") {
    throw wrong(
      text,
      "the host is missing; to listen on every address of this computer write 0.0.0.0 or [::]",
    );
  }
  checkHost(text, host);
  return { host, port: parsePort(text, colon < 0 ? undefined : text.slice(colon + 1)) };
}

/** Writes an address so that {@linkcode parseAddress} reads the same one. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parsePort(text: string, digits: string | undefined): number {
  if (digits === undefined) return DEFAULT_PORT;
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : NaN;
  if (!(port <= 65535)) {
    throw wrong(text, `${JSON.stringify(digits)} is not a port: use a number from 0 to 65535`);
  }
  return port;
}

function checkHost(text: string, host: string): void {
  if (/^[\d.]+$/.test(host)) {
    // Only digits and dots can be nothing but an IPv4 address: no top-level domain is a number.
    if (!isIPv4(host)) throw wrong(text, `${JSON.stringify(host)} is not an IPv4 address`);
    return;
  }
  const name = host.endsWith(".") ? host.slice(0, -1) : host;
  const labels = name.split(".");
  if (name.length > 253 || !labels.every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/.test(label))) {
    throw wrong(text, `${JSON.stringify(host)} is not a host name`);
  }
}

function wrong(text: string, what: string): MirrorError {
  return new MirrorError("wrong_usage", `${JSON.stringify(text.slice(0, 300))} is not an address: ${what}`);
}
