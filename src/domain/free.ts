/** Smaller buffers may be shared: the runtime cuts small ones from a pool. And they are not what fills the memory. */
const MIN_BYTES = 16 * 1024;

/**
 * Gives the memory of a buffer back at once. What is sent and received goes through buffers of the runtime's making, and the runtime
 * lets some hundred megabytes of them pile up before it looks for garbage.
 *
 * @param bytes Nobody must use them any more: they are empty from now on. If they are only part of a buffer, nothing is done.
 */
export function free(bytes: Uint8Array): void {
  if (bytes.buffer.byteLength === bytes.byteLength) freeWhole(bytes);
}

/** The same for the whole buffer that the bytes are part of, when the rest of it is nobody's either. */
export function freeWhole({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength >= MIN_BYTES) buffer.transfer(0);
}
