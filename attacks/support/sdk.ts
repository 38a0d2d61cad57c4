/** The SDK as the suite drives it, and the hostile peers that it meets: with identities, without, and in between. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type ServerOptions } from "node:https";
import { connect, createServer as createTcpServer, type Socket } from "node:net";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { digestOfAuthorities, parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { decisionAnswer } from "@trustwarden/core/api/action.ts";
import { encodeBase64url, encodeUtf8, parseBase64url, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { ROUTES_PATH } from "@trustwarden/core/route-table.ts";
import { peerChainOf } from "trustwarden";
import { parseAnswer, type TestInstance, ticketOf } from "../../test/support/actors.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import type { RunningChild } from "./child.ts";
import { call } from "./client.ts";
import type { SdkAnswer, SdkTask } from "./sdk-agent.ts";
import type { World } from "./world.ts";

/** What hostile peers need of a deployment: identities of their own, and an honest service to hide behind. */
export type Ground = Pick<World, "enrol" | "enrolVerifier"> & {
  readonly server: Pick<World["server"], "url">;
  finance(): Promise<{ readonly url: string; readonly id: string }>;
};

/** Whom an agent has to refuse: what it is, where, and with which code. */
export type Stranger = readonly [what: string, peer: HostilePeer, code: string];

/** As many as an agent may have kept. */
const MAX_CUT_LINKS = 20;

/** An agent in a process of its own. */
export interface SdkAgent {
  readonly child: RunningChild;
  readonly name: string;
  /** Tells it what to do. */
  tell(task: SdkTask): Promise<SdkAnswer>;
  /** A ticket for it, to be used at an address. */
  ticketAt(server: string): Promise<string>;
}

/** Starts the agent's process; it has no identity yet. */
export async function startSdkAgent(world: World, scope: readonly string[]): Promise<SdkAgent> {
  const child = await world.launch({ args: ["attacks/support/sdk-agent.ts"] });
  const name = world.name("sdk-agent");
  return {
    child,
    name,
    tell: async (task) => {
      const answer = await fetch(String(child.ready.url), { method: "POST", body: JSON.stringify(task) });
      const told: SdkAnswer = JSON.parse(await answer.text());
      return told;
    },
    ticketAt: async (server) => {
      const authoritiesSha256 = digestOfAuthorities(
        parseTrustBundle(await readBundle(world), parseTrustDomain(TRUST_DOMAIN)),
      );
      const ticket = ticketOf(await world.owner(), { name, scope });
      return formatTicketValue({ authoritiesSha256, server, ticket });
    },
  };
}

/**
 * A visit over links that were just cut: whoever writes into one before it knows has no answer, and that says nothing of
 * whom it would have believed. So it is told again, with a new intent, until it has connected anew.
 */
export async function tellAfterCut(agent: SdkAgent, task: SdkTask): Promise<SdkAnswer> {
  for (let attempt = 1; ; attempt += 1) {
    const told = await agent.tell(task);
    if (told.code !== "server_unreachable" || attempt === MAX_CUT_LINKS) return told;
  }
}

/** The bundle that the server publishes. */
export async function readBundle(world: Pick<Ground, "server">): Promise<string> {
  return (await call(world.server.url, { target: "/v1/bundle" })).text;
}

/** One request as a hostile peer got it. */
export interface Overheard {
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingMessage["headers"];
  readonly hasBody: boolean;
}

/** A listener of the attacker's. */
export interface HostilePeer {
  readonly url: string;
  /** Every request that reached it. */
  readonly heard: readonly Overheard[];
  /** Those that carried an intent. */
  intents(): readonly Overheard[];
  close(): void;
}

/** Listens with the attacker's key and certificate. */
export async function startHostilePeer(
  options: ServerOptions,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<HostilePeer> {
  const heard: Overheard[] = [];
  const server = createServer(
    { requestCert: true, rejectUnauthorized: false, minVersion: "TLSv1.3", ...options },
    (request, response) => {
      // Whoever the attack cuts off in the middle is no concern of the attacker's.
      response.on("error", () => undefined);
      const { method = "", url: target = "", headers } = request;
      const hasBody =
        Number(headers["content-length"] ?? 0) > 0 || headers["transfer-encoding"] !== undefined;
      heard.push({ method, target, headers, hasBody });
      answer(request, response);
    },
  );
  server.on("tlsClientError", () => undefined);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://127.0.0.1:${portOf(server.address())}`,
    heard,
    intents: () => heard.filter(({ headers }) => headers["trustwarden-intent"] !== undefined),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** An answer without an end, as fast as it is taken. */
export function answerEndlessly(_request: IncomingMessage, response: ServerResponse): void {
  const more = (): void => {
    while (!response.destroyed && response.write(" ".repeat(65_536)));
  };
  response.on("drain", more);
  more();
}

/** What a service of the attacker's says that it serves. */
export function routesDocument(verifier: string): string {
  const row = (path: string, action: string) => ({
    method: "GET",
    path,
    action,
    resource: "test://rows",
  });
  return JSON.stringify({ verifier, routes: [row("/rows", "read:rows"), row("/secrets", "read:secrets")] });
}

/** A service of the attacker's with a genuine identity: it tells its routes, and the rest is its own. */
export function startHostileService(
  verifier: TestInstance,
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<HostilePeer> {
  return startHostilePeer(verifier.tls, (request, response) => {
    if (request.url === ROUTES_PATH) response.end(routesDocument(verifier.answer.spiffe_id));
    else answer(request, response);
  });
}

/** Has the server decide about the request's intent, as an honest service would. */
export async function decideAs(
  world: Pick<Ground, "server">,
  verifier: TestInstance,
  request: IncomingMessage,
) {
  const intent = parseUtf8(parseBase64url(String(request.headers["trustwarden-intent"])));
  const svidChain = peerChainOf(request.socket).map(encodeBase64url);
  const body = JSON.stringify({ intent, svid_chain: svidChain });
  const target = "/v1/decisions";
  return parseAnswer(
    decisionAnswer,
    await call(world.server.url, { method: "POST", target, body }, { tls: verifier.tls }),
  );
}

/** A receipt as services send it. */
export function receiptHeader(receipt: object): Readonly<Record<string, string>> {
  return { "trustwarden-receipt": encodeBase64url(encodeUtf8(JSON.stringify(receipt))) };
}

/** A name that leads to one address and then to another: what a resolver in the attacker's hands does. */
export interface MovingName {
  readonly url: string;
  /** From now on; links that stand are cut. */
  leadTo(url: string): void;
  close(): void;
}

/** Opens the name. */
export async function openMovingName(first: string): Promise<MovingName> {
  let target = new URL(first);
  const links = new Set<Socket>();
  const server = createTcpServer((socket) => {
    const onward = connect({ host: target.hostname, port: Number(target.port) });
    for (const link of [socket, onward]) {
      links.add(link);
      link.on("error", () => undefined);
      link.once("close", () => {
        links.delete(link);
        socket.destroy();
        onward.destroy();
      });
    }
    socket.pipe(onward).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    for (const link of links) link.destroy();
  };
  return {
    url: `https://127.0.0.1:${portOf(server.address())}`,
    leadTo: (url) => {
      target = new URL(url);
      cut();
    },
    close: () => {
      cut();
      server.close();
    },
  };
}

function portOf(address: unknown): number {
  if (typeof address === "object" && address !== null && "port" in address) return Number(address.port);
  throw new Error("a listener has a port");
}
