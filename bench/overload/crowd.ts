/** Owners with agents and kept connections, and what they offer: as fast as it goes, or so many a second whatever comes back. */

import { setTimeout as sleep } from "node:timers/promises";
import { createSecureContext } from "node:tls";
import { createOwner, enrolAgent, intentOf, type TestInstance } from "../../test/support/actors.ts";
import type { TestServer } from "../../test/support/server.ts";
import { encodeRequest, Line } from "./line.ts";

const MS_PER_SECOND = 1000;
/** Later than this nobody waits for the answer any more: it is no good to anybody. */
const GOOD_WITHIN_MS = 1000;
/** Who looks for the peak does not press on where it is refused. */
const REFUSED_WAIT_MS = 20;
const HEALTH = encodeRequest({ target: "/healthz" });

/** One owner's agent. */
export interface Member {
  readonly agent: TestInstance;
  readonly url: string;
  /** Signed questions that nobody asked yet. */
  readonly ready: Buffer[];
}

/** What one owner offered and got. */
export interface Share {
  offered: number;
  /** Answered 200 within a second of when it was due. */
  good: number;
  /** Answered 429 with `retry-after`. */
  refused: number;
  /** Answered too late. */
  late: number;
  /** Not sent at all, since all of its connections waited. */
  heldBack: number;
  /** Anything else: there should be none. */
  odd: number;
}

/** An owner with one agent. */
export async function createMember(server: TestServer, name: string): Promise<Member> {
  const owner = await createOwner(server, name);
  const agent = await enrolAgent(server, owner, { scope: ["read:transactions"], name });
  return { agent, url: server.url, ready: [] };
}

/** Connections of an agent, each with its first answer: one that has asked nothing yet is closed after ten seconds. */
export async function connect({ agent, url }: Member, count: number): Promise<readonly Line[]> {
  const lines: Line[] = [];
  // One context for all: making it reads the key and the chain.
  const secureContext = createSecureContext(agent.tls);
  for (let opened = 0; opened < count; opened += 1) {
    const line = await Line.open(url, secureContext);
    await line.ask(HEALTH);
    lines.push(line);
  }
  return lines;
}

/** Signs questions; they are good for a minute. */
export function prepare({ agent, ready }: Member, aud: string, count: number): void {
  for (let made = ready.length; made < count; made += 1) {
    const intent = intentOf(agent, { aud });
    const body = JSON.stringify({ intent: intent.envelope, svid_chain: agent.answer.svid_chain });
    ready.push(encodeRequest({ method: "POST", target: "/v1/decisions", body }));
  }
}

/** Each connection asks as soon as it has its answer. @returns good answers a second. */
export async function askInTurn(
  members: readonly Member[],
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<number> {
  const share = noShare();
  const opened = await Promise.all(members.map((member) => connect(member, connections)));
  const startedMs = performance.now();
  const untilMs = startedMs + seconds * MS_PER_SECOND;
  const lane = async (member: Member, line: Line): Promise<void> => {
    while (performance.now() < untilMs && member.ready.length > 0) {
      const refused = share.refused;
      await ask(member, line, { dueMs: performance.now(), share });
      if (share.refused > refused) await sleep(REFUSED_WAIT_MS);
    }
  };
  await Promise.all(
    members.flatMap((member, index) => (opened[index] ?? []).map((line) => lane(member, line))),
  );
  for (const line of opened.flat()) line.close();
  if (share.odd > 0) throw new Error(`${share.odd} odd answers`);
  return (share.good * MS_PER_SECOND) / (performance.now() - startedMs);
}

/** Offers so many a second, whether or not the earlier ones were answered. */
export async function offer(
  member: Member,
  {
    lines,
    perSecond,
    seconds,
  }: { readonly lines: readonly Line[]; readonly perSecond: number; readonly seconds: number },
): Promise<Share> {
  const share = noShare();
  const free = [...lines];
  const running = new Set<Promise<void>>();
  const startedMs = performance.now();
  const total = Math.floor(perSecond * seconds);
  for (let index = 0; index < total; index += 1) {
    const dueMs = startedMs + (index * MS_PER_SECOND) / perSecond;
    // Timers are as coarse as a millisecond: what is due by then leaves together.
    if (dueMs - performance.now() > 1) await sleep(dueMs - performance.now());
    share.offered += 1;
    const line = free.pop();
    if (line === undefined) {
      share.heldBack += 1;
      // Others of this process must get their turn even when everything is late.
      if (index % 32 === 0) await sleep(0);
      continue;
    }
    const asked = ask(member, line, { dueMs, share })
      .then(() => void free.push(line))
      // A connection that broke asks no more; the figure says how many did.
      .catch(() => {
        share.odd += 1;
      })
      .finally(() => running.delete(asked));
    running.add(asked);
  }
  await Promise.all(running);
  return share;
}

async function ask(
  { ready }: Member,
  line: Line,
  { dueMs, share }: { readonly dueMs: number; readonly share: Share },
): Promise<void> {
  const bytes = ready.pop();
  if (bytes === undefined) throw new Error("more was asked than was signed");
  const { status, head } = await line.ask(bytes);
  if (status === 200) share[performance.now() - dueMs <= GOOD_WITHIN_MS ? "good" : "late"] += 1;
  else if (status === 429 && /\r\nretry-after: \d/i.test(head)) share.refused += 1;
  else {
    share.odd += 1;
    if (share.odd === 1) console.error(`unexpected: ${head.split("\r\n", 1)[0]}`);
  }
}

function noShare(): Share {
  return { offered: 0, good: 0, refused: 0, late: 0, heldBack: 0, odd: 0 };
}
