/**
 * Does one allowed call for a role: the role is made, and its password goes to the agent that asked, once.
 *
 * A role that could not be delivered is dropped, and so is one whose agent was stopped while it was made: the sweep that
 * follows a revocation sees only what was committed before it.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseRoleCall } from "@trustwarden/core/gateway/plan-postgresql.ts";
import { originOf } from "@trustwarden/core/gateway/upstream.ts";
import { requireLiveChain } from "../../http/peer.ts";
import type { Services } from "../../http/services.ts";
import type { AllowedCall } from "../ports.ts";
import { addressOf } from "./connection.ts";
import type { GrantedRole } from "./database-roles.ts";

const JSON_HEADERS = { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" };

/** @throws TrustWardenError the codes of the broker and of `DatabaseRoles`. */
export async function performPostgresql(services: Services, call: AllowedCall): Promise<void> {
  const { arrival, caller } = call;
  const { upstream, peer } = arrival;
  const { agent } = caller;
  const { template, operation } = parseRoleCall(upstream.settings, arrival.request);
  const eventId = caller.intent.intent.event_id;
  const request = { upstream, template, agent, eventId, peer };
  if (operation === "end") {
    await services.databaseRoles.end(request, "given back");
    return answer(call, { ended: true });
  }
  // It may have been taken from the agent since the decision.
  const use = {
    secret: upstream.secret ?? "",
    upstream: upstream.name,
    origin: originOf(upstream.url),
    agent,
  };
  services.broker.requireUsable(use);
  const granted = await services.databaseRoles.create({ ...request, endsAt: endOf(services, call) });
  try {
    if (call.signal.aborted) throw new TrustWardenError("call_cut");
    endOf(services, call);
    await answer(call, describe(granted, call));
  } catch (error) {
    await services.databaseRoles.end(request, "undelivered");
    throw error;
  }
}

/** Unix seconds when the first of the chain ends. @throws TrustWardenError the codes of a dead instance. */
function endOf({ reads, clock }: Services, { caller }: AllowedCall): number {
  const chain = requireLiveChain(reads, caller.agent.instanceId, clock.trustedSeconds());
  return Math.min(...chain.map(({ expiresAt }) => expiresAt));
}

function describe({ name, password, validUntil }: GrantedRole, { arrival }: AllowedCall) {
  return { role: name, password, valid_until: validUntil, ...addressOf(arrival.upstream.url) };
}

async function answer(call: AllowedCall, body: object): Promise<void> {
  await call.begin(200, JSON_HEADERS);
  await call.write(encodeUtf8(JSON.stringify(body)));
  await call.end();
}
