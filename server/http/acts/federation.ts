/** Relationships with other trust domains, and the bundles of all. */
import { parseFederationEndpoint, refreshSecondsOf } from "@trustwarden/core/agentid/federation.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type {
  FederatedBundleRequest,
  FederationAnswer,
  FederationList,
  FederationPath,
  FederationRemoval,
  FederationRequest,
} from "@trustwarden/core/api/federation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { FederationView } from "../../federation/federation.ts";
import { requireNewest } from "../../shared/sharing.ts";
import { contextOf } from "../command-context.ts";
import type { RawAnswer, Visit } from "../route.ts";
import type { Services } from "../services.ts";

type AboutOne<Body = unknown> = Visit<Body, unknown, FederationPath>;

/** Short: a bundle that was taken back must not live on in a cache. */
const MAX_AGE_SECONDS = 60;

/** @throws TrustWardenError `federation_malformed`, `federation_exists`, and what the bundle is refused with. */
export async function createFederation(
  services: Services,
  visit: Visit<FederationRequest>,
): Promise<FederationAnswer> {
  const { trust_domain, endpoint: asked, bundle } = visit.body;
  const trustDomain = parseTrustDomain(trust_domain);
  const endpoint =
    asked &&
    parseFederationEndpoint(
      {
        profile: asked.profile,
        url: asked.url,
        endpointSpiffeId: asked.endpoint_spiffe_id,
        webCa: asked.web_ca,
      },
      trustDomain,
    );
  const { federation } = services;
  await federation.change({ change: "create", trustDomain, endpoint, bundle }, contextOf(services, visit));
  if (endpoint !== null) await tryRefresh(services, visit, trustDomain);
  return formatFederation(federation.get(trustDomain));
}

export async function listFederations({ federation }: Services): Promise<FederationList> {
  return { federations: federation.list().map(formatFederation) };
}

/** @throws TrustWardenError `not_found`, `federation_rollback`, `federation_bundle_refused`, `bundle_malformed`. */
export async function setFederatedBundle(
  services: Services,
  visit: AboutOne<FederatedBundleRequest>,
): Promise<FederationAnswer> {
  const trustDomain = parseTrustDomain(visit.params.trust_domain);
  const { bundle } = visit.body;
  await services.federation.change({ change: "bundle", trustDomain, bundle }, contextOf(services, visit));
  return formatFederation(services.federation.get(trustDomain));
}

/** @throws TrustWardenError `not_found`, and why the bundle was not taken. */
export async function refreshFederation(services: Services, visit: AboutOne): Promise<FederationAnswer> {
  const trustDomain = parseTrustDomain(visit.params.trust_domain);
  await services.federation.refresh(trustDomain, contextOf(services, visit));
  return formatFederation(services.federation.get(trustDomain));
}

/** @throws TrustWardenError `not_found`. */
export async function removeFederation(services: Services, visit: AboutOne): Promise<FederationRemoval> {
  const trustDomain = parseTrustDomain(visit.params.trust_domain);
  await services.federation.change({ change: "removal", trustDomain }, contextOf(services, visit));
  return { trust_domain: trustDomain, epoch: services.reads.epoch() };
}

export async function readBundleMap(services: Services): Promise<RawAnswer> {
  const { federation } = services;
  if (services.sharing.isShared) await requireNewest(services);
  return {
    isRaw: true,
    contentType: "application/json; charset=utf-8",
    cacheControl: `public, max-age=${MAX_AGE_SECONDS}`,
    content: federation.bundles.format(),
  };
}

/** The relationship stands whether or not its endpoint answers yet; the answer says which. */
async function tryRefresh(
  services: Services,
  visit: Visit,
  trustDomain: ReturnType<typeof parseTrustDomain>,
): Promise<void> {
  try {
    await services.federation.refresh(trustDomain, contextOf(services, visit));
  } catch (error) {
    // Safe to go on: nothing was taken, and `failure` in the answer says why.
    if (!(error instanceof TrustWardenError)) throw error;
  }
}

function formatFederation({ state, status, bundle }: FederationView): FederationAnswer {
  const { endpoint } = state;
  return {
    trust_domain: state.trustDomain,
    profile: endpoint?.profile ?? null,
    url: endpoint?.url ?? null,
    endpoint_spiffe_id: endpoint?.profile === "https_spiffe" ? endpoint.spiffeId : null,
    sequence: bundle?.sequence ?? null,
    x509_authorities: bundle?.x509Authorities.length ?? 0,
    jwt_authorities: bundle?.jwtAuthorities.size ?? 0,
    refresh_seconds: bundle === undefined ? 0 : refreshSecondsOf(bundle),
    changed_at: state.changedAt,
    fetched_at: status.fetchedAt,
    failure: status.failure,
  };
}
