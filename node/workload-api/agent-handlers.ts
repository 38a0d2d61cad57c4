/**
 * `trustwarden.node.v1.AgentApi`: what a process may ask about its own identities.
 *
 * A service of its own, since nothing may be added to SPIFFE's; the same gate stands before it.
 */
import { status } from "@grpc/grpc-js";
import { grpcFailure } from "./grpc-status.ts";
import { answerWith, type HandlerContext } from "./handlers.ts";
import type { DescribeResponse, GrantRequest, GrantResponse, UnaryCall } from "./protocol.ts";

/** What `grpc-js` takes for `AgentApi`. */
export function createAgentHandlers(context: HandlerContext) {
  return { Describe: answerWith(context, describe), Grant: answerWith(context, grant) };
}

async function describe(
  call: UnaryCall<object, DescribeResponse>,
  { source, gate }: HandlerContext,
): Promise<DescribeResponse> {
  if (source.describe === undefined)
    throw grpcFailure(status.UNIMPLEMENTED, "this endpoint describes nothing");
  const instances = await source.describe(gate.peerOf(call));
  return {
    instances: instances.map((instance) => ({
      spiffe_id: instance.spiffeId,
      instance_id: instance.instanceId,
      agent_id: instance.agentId,
      chain_sha256: instance.chainSha256,
      chain: instance.chain,
      scope: instance.scope,
      strength: instance.strength,
      svid_expires_at: instance.svidExpiresAt,
      instance_expires_at: instance.instanceExpiresAt,
      hint: instance.hint,
    })),
  };
}

async function grant(
  call: UnaryCall<GrantRequest, GrantResponse>,
  { source, gate }: HandlerContext,
): Promise<GrantResponse> {
  if (source.grant === undefined) throw grpcFailure(status.UNIMPLEMENTED, "this endpoint grants nothing");
  return { grant: await source.grant(gate.peerOf(call), call.request.request) };
}
