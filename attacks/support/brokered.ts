/** An upstream that holds a credential against us, a secret for it, and an agent that may use it through the gateway. */
import { request as tlsRequest } from "node:https";
import { signedRequest, type TestInstance } from "../../test/support/actors.ts";
import { ECHO_ROUTES, type EchoUpstream, openEchoUpstream } from "../../test/support/echo-upstream.ts";
import { type RawAnswer, type RawRequest, sendAdmin } from "../../test/support/http.ts";
import { expect, expectSame } from "../scenario.ts";
import { call } from "./client.ts";
import { callGateway, gatewayOf } from "./through-gateway.ts";
import type { World } from "./world.ts";

/** What the upstream knows us by. */
export const UPSTREAM_KEY = "sk-CANARY/7f3a+Zx81-9cd2";
/** The configuration of a server with a gateway. */
export const WITH_GATEWAY = { configure: () => ({ gateway: { port: 0 } }) };

/** The scene of attacks on the broker. */
export interface Brokered {
  readonly world: World;
  readonly upstream: EchoUpstream;
  /** Of upstream and secret. */
  readonly name: string;
  readonly agent: TestInstance;
}

/** @param text - what the upstream answers to notes. */
export async function openBrokered(world: World, text: () => string = () => "ok"): Promise<Brokered> {
  const upstream = await openEchoUpstream(text);
  const name = world.name("echo");
  await register(world, { name, url: upstream.origin, secret: name });
  await operate(world, "/v1/secrets", {
    name,
    value: UPSTREAM_KEY,
    upstreams: [{ name, origin: upstream.origin }],
    agents: ["agent:**"],
    injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
  });
  const agent = await world.enrol(["read:echo", "write:notes"]);
  return { world, upstream, name, agent };
}

/** Registers an upstream on loopback. */
export function register(
  world: World,
  { name, url, secret }: { readonly name: string; readonly url: string; readonly secret: string | null },
): Promise<RawAnswer> {
  const settings = { routes: ECHO_ROUTES };
  return operate(world, "/v1/upstreams", { name, kind: "http", url, allow_private: true, secret, settings });
}

/** A call of an operator that must succeed. */
export async function operate(world: World, target: string, body: object): Promise<RawAnswer> {
  const answer = await sendAdmin(world.server.adminSocket, {
    method: "POST",
    target,
    body: JSON.stringify(body),
  });
  if (answer.status !== 200) throw new Error(`${target}: ${answer.status} ${answer.text}`);
  return answer;
}

/** The agent asks for an echo through the gateway. */
export async function askEcho({ world, name, agent }: Brokered, how: string): Promise<RawAnswer> {
  return call(gatewayOf(world), await signedEcho({ world, name, agent }, how), { tls: agent.tls });
}

/** The agent writes a note through the gateway. */
export async function writeNote({ world, name, agent }: Brokered, body: string): Promise<RawAnswer> {
  const aud = await world.serverId();
  const [action, resource] = ["write:notes", "echo://notes"];
  const request = {
    method: "POST",
    target: `/${name}/notes`,
    body,
    aud,
    action,
    intent: { action, resource },
  };
  return callGateway(world, agent, request);
}

/** A call whose answer does not end; resolves when it has begun. */
export async function openEndless(scene: Brokered): Promise<{ readonly ended: Promise<void> }> {
  const { headers = {}, target } = await signedEcho(scene, "endless");
  const { hostname, port } = new URL(gatewayOf(scene.world));
  const begun = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const options = { hostname, port, path: target, headers, rejectUnauthorized: false, ...scene.agent.tls };
  const request = tlsRequest(options, (response) => {
    response.once("data", () => begun.resolve());
    response.once("close", () => ended.resolve());
    response.on("error", () => undefined).resume();
  });
  request.on("error", (error) => {
    begun.reject(error);
    ended.resolve();
  });
  request.end();
  await begun.promise;
  return { ended: ended.promise };
}

/** Forms in which anybody would recognise the key. */
export const KEY_FORMS: readonly string[] = [
  UPSTREAM_KEY,
  encodeURIComponent(UPSTREAM_KEY),
  JSON.stringify(UPSTREAM_KEY).slice(1, -1).replaceAll("/", "\\/"),
  Buffer.from(UPSTREAM_KEY).toString("hex"),
  Buffer.from(UPSTREAM_KEY).toString("base64").slice(0, -4),
  Buffer.from(`:${UPSTREAM_KEY}`).toString("base64").slice(2, -4),
  Buffer.from(`::${UPSTREAM_KEY}`).toString("base64").slice(4, -4),
];

/** @throws Breach when the key is in a text, in any form. */
export function expectNoKey(text: string, where: string): void {
  for (const form of KEY_FORMS) expect(!text.includes(form), `the upstream's key is not in ${where}`);
}

async function signedEcho(
  { world, name, agent }: Omit<Brokered, "upstream">,
  how: string,
): Promise<RawRequest> {
  const aud = await world.serverId();
  const [action, resource] = [`read:echo:${how}`, `echo://${how}`];
  return signedRequest(agent, { target: `/${name}/echo/${how}`, aud, action, intent: { action, resource } });
}

/** The control of these attacks: a call that needs the key gets it, at the upstream and nowhere else. */
export async function expectKeyInUse(scene: Brokered): Promise<void> {
  expectSame((await askEcho(scene, "header")).status, 200, "a call that needs the key");
  const got = scene.upstream.seen.at(-1)?.headers.authorization;
  expectSame(got, `Bearer ${UPSTREAM_KEY}`, "what the upstream got");
}
