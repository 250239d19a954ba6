import { messageOf, MirrorError } from "../domain/mirror_error.ts";
import type { Address } from "../domain/ports.ts";
import { formatFingerprint } from "../identity/certificate.ts";
import { formatAddress } from "./address.ts";
import type { ShownCertificate } from "./shown_certificate.ts";

const COMPARE =
  "Compare with what `mirrorsync identity` prints on that computer; if it is the right one, add its " +
  "certificate here with `mirrorsync peer add CERT.pem` (`--replaces NAME` if it is a peer's new one)";

const MEND_DATES =
  "Check the clocks of both computers; if they are right, make a new identity on that one (`mirrorsync init` in a new home)";

/** Why the certificate that a peer showed is not enough, each with the way out. */
export const refusals = {
  notExpected: (expect: string) =>
    `the peer with the fingerprint ${
      formatFingerprint(expect)
    } was expected. Either another computer answers there, or that ` +
    `peer has a new identity that it has not announced (its home was lost, made anew, or put back from an old backup). ${COMPARE}`,
  stranger: () => `that certificate is not trusted here. ${COMPARE}`,
  expired: (on: string) => `that certificate expired on ${on}. ${MEND_DATES}`,
  tooEarly: (from: string) => `that certificate is valid only from ${from} on. ${MEND_DATES}`,
};

/** Nobody could answer a dial rightly, so none is made. */
export function nobodyToDial(expect: string | null): MirrorError {
  const whom = expect === null
    ? "no peer is trusted yet"
    : `the peer ${formatFingerprint(expect)} is not trusted`;
  return new MirrorError("not_trusted", `${whom}: add its certificate with \`mirrorsync peer add CERT.pem\``);
}

/** Whether a handshake failed because of the certificate that the other side showed. */
export function isCertificateError(error: Error & { code?: string }): boolean {
  return /^(?!ERR_SSL_).*(CERT|SELF_SIGNED|ISSUER|LEAF_SIGNATURE|INVALID_CA|INVALID_PURPOSE)/.test(
    error.code ?? "",
  );
}

/**
 * Why somebody who dialled in was refused, in a few words; `null` for one who went away.
 *
 * @param judgement What TLS says of the certificate that was shown. (After that the runtime cuts the connection, and reports a reset.)
 */
export function whyRefused(
  error: Error & { code?: string },
  judgement: Error | string | null | undefined,
): string | null {
  if (judgement || isCertificateError(error)) {
    return "the certificate that it showed is not trusted here; if it is a peer's, that peer has a new identity which it has not " +
      "announced: pair with it anew";
  }
  return error.code === "ECONNRESET" ? null : messageOf(error);
}

/** A dial that did not get through. */
export function unreachable(address: Address, why: string, cause?: unknown): MirrorError {
  return new MirrorError("unreachable", `cannot reach ${formatAddress(address)}: ${why}`, { cause });
}

/** The computer answered, but not as a peer that trusts this one. */
export function brokenOff(address: Address, cause?: Error): MirrorError {
  const detail = cause === undefined ? "" : ` (${messageOf(cause)})`;
  return unreachable(
    address,
    `it broke off the TLS handshake${detail}: either it trusts no peer yet (add this peer's certificate there with ` +
      "`mirrorsync peer add CERT.pem`), or another program answers on that port",
    cause,
  );
}

/** A peer answered rightly, but ended the connection before it said a word. */
export function notTrustedThere(peer: string, ownFingerprint: string, cause: unknown): MirrorError {
  return new MirrorError(
    "unreachable",
    `${peer} closed the connection before its first word: as a rule it does not trust this peer's certificate (fingerprint ` +
      `${
        formatFingerprint(ownFingerprint)
      }). Either it has removed this peer, or this peer has a new identity that was not ` +
      "announced (its home was made anew, or put back from an old backup): pair anew, with `mirrorsync invite` there and " +
      "`mirrorsync join` here. Or one of the two clocks is wrong: `mirrorsync log --audit` there says which it is",
    { cause },
  );
}

/** The dial got through to somebody else, as far as can be told. */
export function notTrusted(
  address: Address,
  shown: ShownCertificate | null,
  why: string,
  cause?: unknown,
): MirrorError {
  const who = shown === null
    ? ""
    : `the peer there shows the fingerprint ${formatFingerprint(shown.fingerprint)}, but `;
  return new MirrorError("not_trusted", `no connection with ${formatAddress(address)}: ${who}${why}`, {
    cause,
  });
}

/** What kept a TCP connection from being made, in plain words. */
export function whyNotConnected(cause: unknown): string {
  if (cause instanceof Deno.errors.ConnectionRefused) {
    return "the computer answers, but nothing listens on that port (is `mirrorsync run` running there?)";
  }
  const message = messageOf(cause);
  if (/lookup|resolve|not known|no such host/i.test(message)) {
    return `no computer of that name was found (${message})`;
  }
  return message;
}

/** Why an address cannot be listened on. */
export function listenError(address: Address, cause: unknown): MirrorError {
  const where = formatAddress(address);
  if (cause instanceof Deno.errors.AddrInUse) {
    return new MirrorError(
      "port_in_use",
      `port ${address.port} is in use by another program, so ${where} cannot be listened on: stop that program, or ` +
        "choose another port, with `run --listen HOST:PORT` (port 0 lets the system choose) or `listen` in mirrorsync.toml",
      { cause },
    );
  }
  if (cause instanceof Deno.errors.PermissionDenied) {
    return new MirrorError(
      "no_permission",
      `this user may not listen on ${where}: choose a port above 1023 with \`--listen HOST:PORT\``,
      { cause },
    );
  }
  return new MirrorError(
    "bad_config",
    `cannot listen on ${where} (${
      messageOf(cause)
    }): use an address of this computer, 0.0.0.0 or [::] for all of them`,
    { cause },
  );
}
