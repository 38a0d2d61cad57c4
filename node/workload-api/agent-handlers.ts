/**
 * `trustwarden.node.v1.AgentApi`: what a process may ask about its own identities.
 *
 * A service of its own, since nothing may be added to SPIFFE's; the same gate stands before it.
 */
import { status } from "@grpc/grpc-js";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { grpcFailure } from "./grpc-status.ts";
import { answerWith, type HandlerContext } from "./handlers.ts";
import type {
  DecideRequest,
  DecideResponse,
  DescribeResponse,
  GrantRequest,
  GrantResponse,
  UnaryCall,
} from "./protocol.ts";

const FORBIDDEN = 403;

/** What `grpc-js` takes for `AgentApi`. */
export function createAgentHandlers(context: HandlerContext) {
  return {
    Describe: answerWith(context, describe),
    Grant: answerWith(context, grant),
    Decide: answerWith(context, decide),
  };
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
  const { request, parent } = call.request;
  return { grant: await source.grant(gate.peerOf(call), { request, parent }) };
}

async function decide(
  call: UnaryCall<DecideRequest, DecideResponse>,
  { source, gate }: HandlerContext,
): Promise<DecideResponse> {
  if (source.decide === undefined) throw grpcFailure(status.UNIMPLEMENTED, "nothing is decided here");
  const { action, resource } = call.request;
  try {
    return { event_id: await source.decide(gate.peerOf(call), { action, resource }) };
  } catch (error) {
    // To the process it is an answer, and not a node that cannot serve it; why is in the ledger.
    if (error instanceof TrustWardenError && error.code !== "no_identity" && error.status === FORBIDDEN)
      throw grpcFailure(status.FAILED_PRECONDITION, "the action is denied");
    throw error;
  }
}
