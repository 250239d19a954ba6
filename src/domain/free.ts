/**
 * Gives the memory of a buffer back at once. What is sent and received goes through buffers of the runtime's making, and the runtime
 * lets some hundred megabytes of them pile up before it looks for garbage.
 *
 * @param bytes Nobody must use it any more: it is empty from now on. If it is only part of a buffer, nothing is done.
 */
export function free(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) buffer.transfer(0);
}
