/**
 * OPA's management services: bundles out, status and decision logs in.
 *
 * A decision that an OPA made is an `evaluation` event of the service whose OPA it is: who was asked about, on which
 * policy, and the answer. Input and result themselves are left out, since they may hold anything; the bundle that we
 * serve has the OPA mask most of it before.
 */
import type { OpaBundleParams, OpaLogs, OpaStatus, OpaTaken } from "@trustwarden/core/api/opa.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { isJsonObject, type Json } from "@trustwarden/core/json.ts";
import { formatPrincipal } from "@trustwarden/core/principal.ts";
import type { ControlDraft } from "../../store/ports.ts";
import type { RawAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";

const REASON = /^[a-z][a-z0-9_]{0,63}$/;
const MAX_REASONS = 16;
/** Of a text that an OPA chose. */
const MAX_TEXT_CHARS = 256;
const UNPRINTABLE = /[^\x20-\x7e]/g;

/** @throws TrustWardenError `not_found`, `policy_unavailable`. */
export async function readOpaBundle(
  { opaBundles }: Services,
  { params, arrival }: Visit<unknown, unknown, OpaBundleParams>,
): Promise<RawAnswer> {
  const bundle = opaBundles.find(params.name);
  if (bundle === undefined) throw new TrustWardenError("not_found");
  const isKnown = arrival.headers["if-none-match"] === bundle.etag;
  return {
    isRaw: true,
    contentType: "application/gzip",
    cacheControl: "no-cache",
    headers: { etag: bundle.etag },
    ...(isKnown ? { status: 304 as const, content: "" } : { content: bundle.bytes }),
  };
}

/** @throws TrustWardenError `ledger_unavailable`: then the OPA keeps them and tries again. */
export async function takeOpaLogs(services: Services, visit: Visit<OpaLogs>): Promise<OpaTaken> {
  const caller = formatPrincipal(visit.caller.principal);
  // OPA uploads again when it did not see the answer; one decision is one event.
  const fresh = visit.body.filter(
    ({ decision_id }) => !services.opaDecisions.has(`${caller} ${decision_id}`),
  );
  if (fresh.length > 0) await record(services, visit, fresh.map(draftOf));
  for (const { decision_id } of fresh) services.opaDecisions.add(`${caller} ${decision_id}`);
  return { recorded: fresh.length };
}

/** Records a status when it says something else than the last one. @throws TrustWardenError `ledger_unavailable`. */
export async function takeOpaStatus(services: Services, visit: Visit<OpaStatus>): Promise<OpaTaken> {
  const bundles = Object.fromEntries(
    Object.entries(visit.body.bundles)
      .slice(0, 16)
      .map(([name, { active_revision = "", code = "" }]) => [
        plain(name),
        { active_revision: plain(active_revision), code: plain(code) },
      ]),
  );
  const caller = formatPrincipal(visit.caller.principal);
  const opaId = plain(visit.body.labels.id ?? "");
  const opa = `${caller} ${opaId}`;
  const said = JSON.stringify(bundles);
  if (services.opaStatuses.get(opa) === said) return { recorded: 0 };
  await record(services, visit, [
    {
      kind: "policy",
      allow: true,
      reasons: [],
      subject: caller,
      chain: [],
      details: { change: "status", opa_id: opaId, bundles },
    },
  ]);
  services.opaStatuses.set(opa, said);
  return { recorded: 1 };
}

async function record(
  services: Services,
  { arrival, caller }: Pick<Visit, "arrival" | "caller">,
  drafts: readonly ControlDraft[],
): Promise<void> {
  const epoch = services.reads.epoch();
  await services.ledger.recordControls(
    drafts.map((draft) => ({ draft, epoch })),
    {
      nowMs: services.clock.nowMs(),
      principal: formatPrincipal(caller.principal),
      peer: arrival.peer,
      intent: null,
    },
  );
}

function draftOf(logged: OpaLogs[number]): ControlDraft {
  const { decision_id, path = "", bundles = {}, input, result, erased = [], masked = [], labels } = logged;
  const allow = result === true || memberOf(result, "allow") === true;
  const reasons = reasonsOf(memberOf(result, "reasons"));
  const principal = textOf(memberOf(memberOf(input, "principal"), "id"));
  const subject = principal === "" ? textOf(memberOf(memberOf(input, "subject"), "id")) : principal;
  return {
    kind: "evaluation",
    allow,
    reasons: allow ? [] : reasons.length > 0 ? reasons : ["denied_by_policy"],
    subject: subject === "" ? null : subject,
    chain: [],
    details: {
      interface: "opa",
      decision_id: plain(decision_id),
      path: plain(path),
      action: textOf(memberOf(memberOf(input, "action"), "name")),
      opa_id: plain(labels.id ?? ""),
      revisions: Object.fromEntries(
        Object.entries(bundles)
          .slice(0, 16)
          .map(([name, { revision = "" }]) => [plain(name), plain(revision)]),
      ),
      masked: erased.length + masked.length,
      decided_at: plain(logged.timestamp),
    },
  };
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? plain(value) : "";
}

function reasonsOf(value: Json | undefined): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value
    .filter((reason) => typeof reason === "string")
    .filter((reason) => REASON.test(reason))
    .slice(0, MAX_REASONS);
}

function plain(text: string): string {
  return text.slice(0, MAX_TEXT_CHARS).replaceAll(UNPRINTABLE, "?");
}
