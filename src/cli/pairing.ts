import type { Home } from "./home.ts";

/** How two peers are made to trust each other, step by step, as seen from here. */
export function pairingSteps(home: Home): string[] {
  return [
    "To pair it with another computer:",
    `  here    ${home.command("invite")}`,
    "  there   mirrorsync join LINE      (the line that invite prints)",
  ];
}

/** A fingerprint as people compare it. Loads the certificate library, which takes a moment. */
export async function showFingerprint(fingerprint: string): Promise<string> {
  const { formatFingerprint } = await import("../identity/certificate.ts");
  return formatFingerprint(fingerprint);
}
