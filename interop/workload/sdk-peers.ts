/**
 * The SDK's own sources and mutual TLS beside SPIFFE's Go library, each the other's peer, each with an identity of our Workload
 * API: who proves whom, and whom each refuses.
 *
 * This process is the user of `pay`; the Go program is started as the auditor.
 */
import { once } from "node:events";
import { text } from "node:stream/consumers";
import {
  connectMutualTls,
  createJwtSource,
  createMutualTlsServer,
  createX509Source,
  type MutualTls,
  type X509Source,
} from "trustwarden";
import type { Verdict } from "../judge.ts";
import { AUDITOR_UID, type WardenServer } from "./server.ts";
import { AUDIENCE, type Session, startSession } from "./session.ts";
import type { WorkloadClient } from "./tools.ts";

const PATIENCE_MS = 20_000;
const POLL_MS = 50;

/** Both as clients and as servers, before and after a forced rotation. @param address - of the Go library's server. */
export async function judgeSdkPeers(
  client: WorkloadClient,
  server: WardenServer,
  address: string,
): Promise<readonly Verdict[]> {
  const source = await createX509Source({ socket: server.socket, onError: () => undefined });
  try {
    const meet = async (when: string): Promise<readonly Verdict[]> => [
      await dialGo(source, { server, address, when }),
      await beDialled(source, { client, server, when }),
    ];
    const before = await meet("");
    const [leaf] = source.svid().chain;
    await server.rotate();
    await until(() => source.svid().chain[0] !== leaf);
    return [
      ...before,
      ...(await meet(", after a rotation")),
      ...(await refuse(source, { client, server, address })),
      ...(await judgeTokens(server)),
    ];
  } finally {
    source.close();
  }
}

const instanceOf = (className: string) => (id: string) => id.startsWith(`${className}/inst-`);

async function dialGo(
  source: X509Source,
  {
    server,
    address,
    when,
  }: { readonly server: WardenServer; readonly address: string; readonly when: string },
): Promise<Verdict> {
  const said = await greet({ source, accept: instanceOf(server.audit) }, address);
  const isAccepted = said.startsWith(`hello ${server.pay}/inst-`);
  return { name: `our SDK dials go-spiffe${when}`, expected: "accept", isAccepted, said };
}

async function beDialled(
  source: X509Source,
  {
    client,
    server,
    when,
  }: { readonly client: WorkloadClient; readonly server: WardenServer; readonly when: string },
): Promise<Verdict> {
  const said = await dialUs(client, server, {
    source,
    accept: instanceOf(server.audit),
    expected: server.pay,
  });
  const isAccepted = said.startsWith(`hello ${server.audit}/inst-`);
  return { name: `go-spiffe dials our SDK${when}`, expected: "accept", isAccepted, said };
}

/** Proven peers, each other than the one that is wanted. */
async function refuse(
  source: X509Source,
  {
    client,
    server,
    address,
  }: { readonly client: WorkloadClient; readonly server: WardenServer; readonly address: string },
): Promise<readonly Verdict[]> {
  const byUs = await greet({ source, accept: instanceOf(server.pay) }, address);
  const served = await dialUs(client, server, {
    source,
    accept: instanceOf(server.pay),
    expected: server.pay,
  });
  const byThem = await dialUs(client, server, { source, accept: () => true, expected: server.audit });
  const verdict = (name: string, said: string): Verdict => ({
    ...{ name, expected: "refuse", isAccepted: said.startsWith("hello "), said },
  });
  return [
    verdict("our SDK dials a go-spiffe that it does not want", byUs),
    verdict("our SDK is dialled by a go-spiffe that it does not want", served),
    verdict("go-spiffe dials an SDK of ours that it does not want", byThem),
  ];
}

/** Tokens of the endpoint, proven here. */
async function judgeTokens({ socket }: WardenServer): Promise<readonly Verdict[]> {
  const tokens = await createJwtSource({ socket, onError: () => undefined });
  try {
    const [found] = await tokens.fetch({ audience: [AUDIENCE] });
    const svid = found?.svid ?? "";
    const prove = (audience: string) => verdictOf(() => tokens.verify({ svid, audience }).id);
    return [
      { name: "our SDK proves a token", expected: "accept", isAccepted: prove(AUDIENCE) === found?.spiffeId },
      {
        ...{ name: "our SDK takes a token for another", expected: "refuse" as const },
        isAccepted: prove("https://other.test") === found?.spiffeId,
      },
    ];
  } finally {
    tokens.close();
  }
}

/** What a server answers to our greeting, or why it was not greeted. */
async function greet(options: MutualTls, address: string): Promise<string> {
  const [host = "", port = ""] = address.split(":");
  try {
    const { socket } = await connectMutualTls(options, { host, port: Number(port) });
    socket.write("hello");
    return await text(socket);
  } catch (error) {
    return String(error);
  }
}

/** What a go-spiffe of the auditor is answered at a server of ours. */
async function dialUs(
  client: WorkloadClient,
  { socket: endpoint }: WardenServer,
  { expected, ...options }: MutualTls & { readonly expected: string },
): Promise<string> {
  const listener = createMutualTlsServer(options, ({ socket, peer }) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(`hello ${peer}`));
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const place = listener.address();
  const port = place === null || typeof place === "string" ? 0 : place.port;
  const words = ["dial", endpoint, expected, `127.0.0.1:${port}`];
  const session: Session = startSession(client, { words, uid: AUDITOR_UID });
  try {
    const steps = await session.ended;
    return steps.at(-1)?.said ?? "";
  } finally {
    listener.close();
  }
}

function verdictOf(prove: () => string): string {
  try {
    return prove();
  } catch (error) {
    return String(error);
  }
}

async function until(isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error("the rotation did not arrive in time");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
