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
 * The text that the answer to a unary call holds.
 *
 * @param options.address - `unix:///path`, as in `SPIFFE_ENDPOINT_SOCKET`.
 * @param options.field - the member of the answer.
 * @param options.refuse - makes what is thrown for a status, or for undefined when the answer has no such member.
 * @throws TrustWardenError `endpoint_malformed`, and what `refuse` makes.
 */
export async function callAgentApi(options: {
  readonly address: string;
  readonly method: "Grant" | "Decide";
  readonly request: Readonly<Record<string, string>>;
  readonly field: string;
  readonly refuse: (status: number | undefined, cause?: ServiceError) => TrustWardenError;
}): Promise<string> {
  const { address, request, field, refuse } = options;
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
    const text = new Map(Object.entries(Object(await promise))).get(field);
    if (typeof text !== "string" || text === "") throw refuse(undefined);
    return text;
  } finally {
    client.close();
  }
}
