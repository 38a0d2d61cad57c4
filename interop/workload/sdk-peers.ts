/**
 * The SDK's own sources and mutual TLS beside SPIFFE's Go library, each the other's peer, each with an identity of our Workload
 * API: who proves whom, and whom each refuses.
 *
 * This process is the user of `pay`; the Go program is started as the auditor.
 */
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
import { listenLocally } from "../listen.ts";
import { attempt, until } from "./attempt.ts";
import { AUDITOR_UID, type WardenServer } from "./server.ts";
import { AUDIENCE, startSession } from "./session.ts";
import type { WorkloadClient } from "./tools.ts";

/** Who meets whom. */
interface Meeting {
  /** Ours, of `pay`. */
  readonly source: X509Source;
  readonly client: WorkloadClient;
  readonly server: WardenServer;
  /** Of the Go library's server. */
  readonly address: string;
}

/** Both as clients and as servers, before and after a forced rotation. @param address - of the Go library's server. */
export async function judgeSdkPeers(
  client: WorkloadClient,
  server: WardenServer,
  address: string,
): Promise<readonly Verdict[]> {
  const source = await createX509Source({ socket: server.socket, onError: () => undefined });
  const meeting: Meeting = { source, client, server, address };
  try {
    const before = await acceptEach(meeting, "");
    const [leaf] = source.svid().chain;
    await server.rotate();
    await until(async () => source.svid().chain[0] !== leaf);
    return [
      ...before,
      ...(await acceptEach(meeting, ", after a rotation")),
      ...(await refuseEach(meeting)),
      ...(await judgeTokens(server)),
    ];
  } finally {
    source.close();
  }
}

const instanceOf = (className: string) => (id: string) => id.startsWith(`${className}/inst-`);

/** Each dials the other, and wants whom it meets. */
async function acceptEach(meeting: Meeting, when: string): Promise<readonly Verdict[]> {
  const { pay, audit } = meeting.server;
  const verdict = (name: string, said: string, peer: string): Verdict => {
    const isAccepted = said.startsWith(`hello ${peer}/inst-`);
    return { name: `${name}${when}`, expected: "accept", isAccepted, said };
  };
  const byUs = await greet(meeting, instanceOf(audit));
  const byThem = await dialUs(meeting, { accept: instanceOf(audit), expected: pay });
  return [verdict("our SDK dials go-spiffe", byUs, pay), verdict("go-spiffe dials our SDK", byThem, audit)];
}

/** Proven peers, each other than the one that is wanted. */
async function refuseEach(meeting: Meeting): Promise<readonly Verdict[]> {
  const { pay, audit } = meeting.server;
  const verdict = (name: string, said: string): Verdict => {
    return { name, expected: "refuse", isAccepted: said.startsWith("hello "), said };
  };
  const byUs = await greet(meeting, instanceOf(pay));
  const served = await dialUs(meeting, { accept: instanceOf(pay), expected: pay });
  const byThem = await dialUs(meeting, { accept: () => true, expected: audit });
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
    const prove = async (audience: string): Promise<void> => {
      if (tokens.verify({ svid, audience }).id !== found?.spiffeId) throw new Error("another's token");
    };
    return [
      await attempt("our SDK proves a token", "accept", () => prove(AUDIENCE)),
      await attempt("our SDK takes a token for another", "refuse", () => prove("https://other.test")),
    ];
  } finally {
    tokens.close();
  }
}

/** What the Go library's server answers to our greeting, or why it was not greeted. */
async function greet({ source, address }: Meeting, accept: MutualTls["accept"]): Promise<string> {
  const [host = "", port = ""] = address.split(":");
  try {
    const place = { host, port: Number(port) };
    const { socket } = await connectMutualTls({ source, accept }, place);
    socket.write("hello");
    return await text(socket);
  } catch (error) {
    return String(error);
  }
}

/** What a go-spiffe of the auditor is answered at a server of ours. @param options.expected - whom it wants. */
async function dialUs(
  { source, client, server }: Meeting,
  { expected, ...options }: Pick<MutualTls, "accept"> & { readonly expected: string },
): Promise<string> {
  const listener = createMutualTlsServer({ source, ...options }, ({ socket, peer }) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(`hello ${peer}`));
  });
  const port = await listenLocally(listener);
  const words = ["dial", server.socket, expected, `127.0.0.1:${port}`];
  try {
    const steps = await startSession(client, { words, uid: AUDITOR_UID }).ended;
    return steps.at(-1)?.said ?? "";
  } finally {
    listener.close();
  }
}
