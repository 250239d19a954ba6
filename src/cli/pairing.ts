import { DEFAULT_PORT } from "../link/address.ts";
import type { Home } from "./home.ts";
import { quoteForShell } from "./text.ts";

/** How two peers are made to trust each other, step by step, as seen from the peer `name`. */
export function pairingSteps(home: Home, name: string): string[] {
  const file = quoteForShell(`${name.replace(/[^\p{L}\p{N}._-]+/gu, "-")}.pem`);
  return [
    "To pair it with another computer, give each one the other's certificate (it is no secret, but must arrive unchanged):",
    `  here    ${home.command(`identity --cert > ${file}`)}`,
    `  there   mirrorsync peer add ${file}`,
    "  there   mirrorsync identity --cert > other.pem",
    `  here    ${home.command(`peer add other.pem --address HOST:${DEFAULT_PORT}`)}`,
    "One side that can reach the other (--address) is enough.",
  ];
}

/** A fingerprint as people compare it. Loads the certificate library, which takes a moment. */
export async function showFingerprint(fingerprint: string): Promise<string> {
  const { formatFingerprint } = await import("../identity/certificate.ts");
  return formatFingerprint(fingerprint);
}
