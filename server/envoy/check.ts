/**
 * One check of a proxy: who is at its door and what does it want, by our own tables.
 *
 * The proxy is a service of ours, proven by its SVID, and is believed about whom it let in and what was asked. Action
 * and resource come from the table that is configured for this very service. The answer is an `evaluation` event first.
 */
import { X509Certificate } from "node:crypto";
import { parseActionName } from "@trustwarden/core/action.ts";
import { parseSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { sha256 } from "@trustwarden/core/crypto.ts";
import { publicError, TrustWardenError } from "@trustwarden/core/error.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import { parseRequestTarget } from "@trustwarden/core/request-target.ts";
import { matchRoute, type RouteTable } from "@trustwarden/core/route-table.ts";
import { decideForAgent } from "../authzen/agents.ts";
import { askAgain, draftOf, type Evaluation, evaluationOf, isCurrent } from "../authzen/evaluate.ts";
import { instanceNamed } from "../authzen/subjects.ts";
import type { Visit } from "../http/route.ts";
import type { Services } from "../http/services.ts";
import type { CheckAnswer, CheckRequest } from "./messages.ts";

/** Of what a client chose, in an event. */
const MAX_TARGET_CHARS = 512;
const UNPRINTABLE = /[^\x20-\x7e]/g;

/** Tables by the name of the service that the proxy stands before. */
export type EnvoyTables = ReadonlyMap<string, RouteTable>;

/** Who asks for what, or why that cannot be said. */
interface Checked {
  readonly evaluation: Evaluation;
  readonly agentId: string;
  /** HTTP status of a denial. */
  readonly status: number;
  readonly error: TrustWardenError | null;
}

/** @throws TrustWardenError `ledger_unavailable`: then the proxy gets no answer and must not let anybody in. */
export async function check(
  services: Services,
  visit: Pick<Visit, "arrival" | "caller">,
  { request, tables }: { readonly request: CheckRequest; readonly tables: EnvoyTables },
): Promise<CheckAnswer> {
  const checked = await decideCheck(services, visit, { request, tables });
  const { evaluation, error } = checked;
  const [eventId = ""] = await services.ledger.recordControls(
    [
      {
        draft: draftOf(evaluation, {
          interface: "ext_authz",
          method: plain(request.method),
          target: plain(request.target),
        }),
        epoch: evaluation.epoch,
      },
    ],
    {
      nowMs: services.clock.nowMs(),
      principal: formatPrincipal(visit.caller.principal),
      peer: visit.arrival.peer,
      intent: null,
    },
  );
  if (!evaluation.isAllowed) return refusal(error ?? new TrustWardenError("denied"), checked.status);
  const decideAgain = async () => (await decideCheck(services, visit, { request, tables })).evaluation;
  const current = await askAgain(services, evaluation, decideAgain);
  if (!isCurrent(services, current)) {
    const stale = new TrustWardenError("decision_stale");
    return refusal(stale, stale.status);
  }
  const headers = {
    "x-trustwarden-agent": checked.agentId,
    "x-trustwarden-spiffe-id": evaluation.subject,
    "x-trustwarden-event": eventId,
  };
  return { isAllowed: true, headers };
}

function refusal(error: TrustWardenError, status: number): CheckAnswer {
  return { isAllowed: false, status, body: JSON.stringify(publicError(error)) };
}

async function decideCheck(
  services: Services,
  { caller }: Pick<Visit, "caller">,
  { request, tables }: { readonly request: CheckRequest; readonly tables: EnvoyTables },
): Promise<Checked> {
  try {
    const table = caller.principal.kind === "verifier" ? tables.get(caller.principal.name) : undefined;
    if (table === undefined)
      throw new TrustWardenError("route_unknown", { reason: "no table for this service" });
    if (request.principal === "") throw new TrustWardenError("no_svid");
    const spiffeId = parseSpiffeId(request.principal);
    const instanceId = instanceNamed(services, spiffeId);
    requireSvidOf(services, instanceId, request.certificate);
    const { action, resource } = matchRoute(table, request.method, parseRequestTarget(request.target));
    const { agent, decision } = await decideForAgent(services, {
      instanceId,
      action: parseActionName(action),
      resource,
      arguments: {},
      enforcement: "gateway",
    });
    const evaluation = evaluationOf({ agent, decision });
    return { evaluation, agentId: agent.agentId, status: 403, error: null };
  } catch (error) {
    if (!(error instanceof TrustWardenError) || error.status >= 500) throw error;
    // Safe to go on: whoever cannot be named, or wants what no table has, is denied.
    return {
      evaluation: {
        isAllowed: false,
        reasons: [error.code],
        class: "A",
        epoch: services.reads.epoch(),
        policy: services.policy.engine.policy,
        subject: plain(request.principal),
        chain: [],
        instances: 1,
      },
      agentId: "",
      status: error.status,
      error,
    };
  }
}

/**
 * When the proxy shows the certificate, it has to be one that we issued to this instance, and not have ended. A
 * certificate is not revoked by itself; whether its instance was is asked with the decision.
 */
function requireSvidOf({ reads, clock }: Services, instanceId: string, certificate: string): void {
  if (certificate === "") return;
  const svid = reads.findSvid(digestOf(certificate));
  if (svid?.instanceId !== instanceId) throw new TrustWardenError("svid_mismatch");
  const { notAfter } = svid;
  if (clock.trustedSeconds() >= notAfter) throw new TrustWardenError("svid_expired", { notAfter });
}

function digestOf(certificate: string): string {
  try {
    return encodeBase64url(sha256(new X509Certificate(decodeURIComponent(certificate)).raw));
  } catch (cause) {
    throw new TrustWardenError("svid_malformed", {}, { cause });
  }
}

function plain(text: string): string {
  return text.slice(0, MAX_TARGET_CHARS).replaceAll(UNPRINTABLE, "?");
}
