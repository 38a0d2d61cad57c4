/**
 * One question to whoever holds this process's identity, over `trustwarden.node.v1.AgentApi` of its own socket.
 *
 * @see agent.proto
 */
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import type { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseEndpointAddress } from "../workload-api/endpoint-address.ts";
import { AGENT_SERVICE } from "../workload-api/protocol.ts";

const TIMEOUT_MS = 10_000;

/**
 * What the answer to a unary call holds, as `read` finds it.
 *
 * @param options.address - `unix:///path`, as in `SPIFFE_ENDPOINT_SOCKET`.
 * @param options.read - takes the answer's members; undefined when it is not in them.
 * @param options.refuse - makes what is thrown for a status, or for undefined when `read` found nothing.
 * @throws TrustWardenError `endpoint_malformed`, and what `refuse` makes.
 */
export async function callAgentApi<T>(options: {
  readonly address: string;
  readonly method: "Describe" | "Grant" | "Decide";
  readonly request: Readonly<Record<string, string>>;
  readonly read: (members: ReadonlyMap<string, unknown>) => T | undefined;
  readonly refuse: (status: number | undefined, cause?: ServiceError) => TrustWardenError;
}): Promise<T> {
  const { address, request, read, refuse } = options;
  const method = AGENT_SERVICE[options.method];
  if (method === undefined) throw new Error(`no method ${options.method}`);
  const client = new Client(`unix:${parseEndpointAddress(address)}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("workload.spiffe.io", "true");
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    metadata,
    { deadline: new Date(Date.now() + TIMEOUT_MS) },
    (cause, answer) => (cause === null ? resolve(answer) : reject(refuse(cause.code, cause))),
  );
  try {
    const found = read(new Map(Object.entries(Object(await promise))));
    if (found === undefined) throw refuse(undefined);
    return found;
  } finally {
    client.close();
  }
}

/** Reads one member of an answer: its text, unless that is empty. */
export function textOf(name: string): (members: ReadonlyMap<string, unknown>) => string | undefined {
  return (members) => {
    const text = members.get(name);
    return typeof text === "string" && text !== "" ? text : undefined;
  };
}
