/** Random bytes in small pieces: a serial takes 17 of them, and asking the system for so few costs as much as for thousands. */
import type { Random } from "@trustwarden/core/id.ts";

const POOL_BYTES = 4096;

/** The same randomness, asked for in larger pieces; each byte is given out once and is in no memory of ours afterwards. */
export function pooledRandom(random: Random): Random {
  let pool: Uint8Array = new Uint8Array(0);
  let used = 0;
  return (length) => {
    if (length > POOL_BYTES / 8) return random(length);
    if (pool.length - used < length) {
      pool = random(POOL_BYTES);
      used = 0;
    }
    const piece = new Uint8Array(pool.subarray(used, used + length));
    pool.fill(0, used, used + length);
    used += length;
    return piece;
  };
}
