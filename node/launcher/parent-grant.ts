/**
 * Asks the holder of the parent's key for a grant, over the parent's own socket: who may connect there is the parent, so
 * being answered is the parent's consent.
 *
 * @see agent.proto, `Grant`
 */
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseEndpointAddress } from "../workload-api/endpoint-address.ts";
import { AGENT_SERVICE } from "../workload-api/protocol.ts";

const TIMEOUT_MS = 10_000;

/**
 * The grant for a child's request.
 *
 * @param address - `unix:///path`, as in `SPIFFE_ENDPOINT_SOCKET`.
 * @throws TrustWardenError `endpoint_malformed`, `parent_proof_missing` when the endpoint does not grant.
 */
export async function requestParentGrant(address: string, request: string): Promise<string> {
  const method = AGENT_SERVICE.Grant;
  if (method === undefined) throw new Error("no method Grant");
  const client = new Client(`unix:${parseEndpointAddress(address)}`, credentials.createInsecure());
  const metadata = new Metadata();
  metadata.set("workload.spiffe.io", "true");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    { request },
    metadata,
    { deadline: new Date(Date.now() + TIMEOUT_MS) },
    (cause, answer) => {
      if (cause === null) resolve(textOf(answer));
      else reject(new TrustWardenError("parent_proof_missing", { status: cause.code }, { cause }));
    },
  );
  try {
    return await promise;
  } finally {
    client.close();
  }
}

function textOf(answer: unknown): string {
  const isAnswer = typeof answer === "object" && answer !== null && "grant" in answer;
  if (!isAnswer || typeof answer.grant !== "string")
    throw new TrustWardenError("parent_proof_missing", { reason: "no grant" });
  return answer.grant;
}
