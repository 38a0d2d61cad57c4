/**
 * An owner stops one instance after the other, ten times a second, in a process that does nothing else: what a stop waits
 * for whoever makes the load would count as the server's.
 *
 *   node bench/overload/stops.ts READY AUDIENCE COUNT     started by `stopper.ts`; READY is what the server said, as JSON
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseJsonObject } from "@trustwarden/core/json.ts";
import { createOwner, enrolAgent, ownerRequest, type TestInstance } from "../../test/support/actors.ts";
import { send } from "../../test/support/http.ts";
import { describe } from "../gateway/lab.ts";

const STOP_EVERY_MS = 100;

const [ready = "", aud = "", count = "0"] = process.argv.slice(2);
const server = describe(parseJsonObject(ready));
const name = `stopped-${crypto.randomUUID()}`;
const owner = await createOwner(server, name);
const victims: TestInstance[] = [];
for (let made = 0; made < Number(count); made += 1)
  victims.push(await enrolAgent(server, owner, { scope: ["read:transactions"], name: `${name}-${made}` }));

const tookMs: number[] = [];
let isOver = false;

async function stopOne({ answer: { instance_id: id } }: TestInstance, dueMs: number): Promise<void> {
  const body = JSON.stringify({ target: { kind: "instance", id } });
  const request = () => ownerRequest(owner, { method: "POST", target: "/v1/revocations", body, aud });
  // Whoever is sent away before a request comes again at once, as everybody who stops something does.
  let answer = await send(server.stopUrl, request()).catch(() => null);
  while (answer === null) answer = await send(server.stopUrl, request()).catch(() => null);
  if (answer.status !== 200) throw new Error(`a stop was answered ${answer.status} ${answer.text}`);
  tookMs.push(performance.now() - dueMs);
}

/** Each at its own instant, whether those before were answered or not: a lane that is slow gets more of them at once. */
async function stopAll(): Promise<void> {
  const beganMs = performance.now();
  const sent: Promise<void>[] = [];
  for (const [index, victim] of victims.entries()) {
    const dueMs = beganMs + index * STOP_EVERY_MS;
    await sleep(Math.max(0, dueMs - performance.now()));
    if (isOver) break;
    const one = stopOne(victim, dueMs);
    // Heard of below, with all of them.
    one.catch(() => undefined);
    sent.push(one);
  }
  await Promise.all(sent);
}

process.once("message", () => {
  const stopping = stopAll();
  process.once("message", async () => {
    isOver = true;
    await stopping;
    process.send?.(tookMs);
    process.channel?.unref();
  });
});
process.send?.("ready");
