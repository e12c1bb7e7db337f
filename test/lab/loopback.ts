/** Addresses of 127.0.0.0/8 at random, so that several labs on one machine do not meet. */

/** `127.x.y.z`, never one of 127.0.0.0/16: those belong to other programs. */
export function loopbackAddress(): string {
  const octet = (): number => 1 + Math.floor(Math.random() * 254);
  return `127.${octet()}.${octet()}.${octet()}`;
}
