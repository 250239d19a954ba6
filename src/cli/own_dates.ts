import type { EventSink } from "../domain/events.ts";
import { parseCertificate } from "../identity/certificate.ts";
import type { Identity } from "../identity/identity.ts";
import { showTime } from "./text.ts";

/**
 * Says so when this peer's certificate is not valid yet: by a clock that is right, every peer refuses it. (One that has expired is
 * refused when it is read.)
 */
export function tellOwnDates({ certificatePem }: Identity, nowMs: number, onEvent: EventSink): void {
  const { notYetValid, notBeforeMs } = parseCertificate(certificatePem, { nowMs });
  if (!notYetValid) return;
  const message =
    `this peer's certificate is not valid before ${showTime(notBeforeMs)}, so no peer takes it ` +
    "until then: set this computer's clock, which is wrong now or was when the certificate was made; if it is right now, " +
    "`mirrorsync init` in a new home makes another one";
  onEvent({ kind: "problem", level: "warning", message });
}
