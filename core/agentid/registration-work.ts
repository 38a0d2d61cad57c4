/**
 * What a new agent costs when its owner registers many: a number whose hash, together with the proof of possession of the
 * agent's key, begins with enough zero bits.
 *
 * The proof of possession has the server's nonce, the key and the ticket under its signature, so work is good for one
 * request of the next minute and nothing else; nobody can do it beforehand or sell it. Finding it takes 2^bits tries, checking
 * it one. It costs a loop what a human never notices; it is no bound of its own, which the quotas are.
 *
 * @see docs/decisions/0063-how-agents-come-and-change-hands.md
 */
import { encodeBase64url, encodeUtf8 } from "../bytes.ts";
import { sha256 } from "../crypto.ts";

/** A text of at most 15 digits: a safe integer in its one spelling. */
export const WORK = /^(?:0|[1-9][0-9]{0,14})$/;
/** Tries between two pauses: a millisecond or two, so that nothing else of the process waits long. */
const TRIES_A_TURN = 2048;

/** Leading zero bits of what was brought. */
export function workBitsOf(possession: string, work: string): number {
  return zeroBitsOf(hashOf(challengeOf(possession), work));
}

/**
 * Finds work of so many bits.
 *
 * @param options.pause - between turns, so that the process goes on with what else it does.
 */
export async function findWork(
  possession: string,
  { bits, pause }: { readonly bits: number; readonly pause: () => Promise<void> },
): Promise<string> {
  const challenge = challengeOf(possession);
  for (let counter = 0; ; counter += 1) {
    const work = String(counter);
    if (zeroBitsOf(hashOf(challenge, work)) >= bits) return work;
    if (counter % TRIES_A_TURN === TRIES_A_TURN - 1) await pause();
  }
}

function challengeOf(possession: string): string {
  return encodeBase64url(sha256(encodeUtf8(possession)));
}

/** One block of SHA-256. */
function hashOf(challenge: string, work: string): Uint8Array {
  return sha256(encodeUtf8(`${challenge}.${work}`));
}

function zeroBitsOf(hash: Uint8Array): number {
  const [first = 0, second = 0, third = 0, fourth = 0] = hash;
  return Math.clz32(((first << 24) | (second << 16) | (third << 8) | fourth) >>> 0);
}
