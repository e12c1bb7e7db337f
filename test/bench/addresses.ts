/** The addresses of the instances that a benchmark announces: of 198.18.0.0/15, which is there for benchmarks (RFC 2544). */

export const INSTANCE_PREFIX = '198.18.0.0/15';

export function instanceAddress(index: number): string {
  return `198.${18 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`;
}

export function instanceAddresses(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => instanceAddress(index));
}
