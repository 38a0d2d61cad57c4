/** The policies in force, and a custom one put there. */
import type { PolicyAnswer, PolicyLoadAnswer, PolicyRequest } from "@trustwarden/core/api/policy.ts";
import { parseBase64 } from "@trustwarden/core/bytes.ts";
import { contextOf } from "../command-context.ts";
import type { Visit } from "../route.ts";
import type { Services } from "../services.ts";
import { spread } from "./revocation.ts";

export async function readPolicy({ policy, reads, opaBundles }: Services): Promise<PolicyAnswer> {
  const stored = reads.findPolicy();
  return {
    in_force: policy.references.map(({ name, bundleSha256 }) => ({ name, bundle_sha256: bundleSha256 })),
    custom:
      stored === undefined
        ? null
        : {
            name: stored.name,
            version: stored.version,
            key_id: stored.keyId,
            bundle_sha256: stored.sha256,
            loaded_at: stored.loadedAt,
          },
    bundle_key: opaBundles.signingKey,
  };
}

/**
 * Puts a custom policy in force everywhere: decisions of before are void at every verifier.
 *
 * @throws TrustWardenError `policy_bundle_malformed`, `policy_bundle_unsigned`, `policy_bundle_untrusted`,
 *   `policy_refused`, `policy_unavailable`, `policy_stopped`, `policy_rollback`; then the policy of before is in force.
 */
export async function loadPolicy(services: Services, visit: Visit<PolicyRequest>): Promise<PolicyLoadAnswer> {
  const startedMs = services.clock.monoMs();
  const bundle = parseBase64(visit.body.bundle);
  const prepared = await services.customPolicies.prepare(bundle);
  const { name, version, keyId, sha256, policySha256 } = prepared;
  const context = contextOf(services, visit);
  const committed = await prepared.putInForce(() =>
    services.commands.loadPolicy({ context, name, version, keyId, sha256, policySha256, bundle }),
  );
  const targets = [{ kind: "policy", id: "*" }] as const;
  const { epoch, acked, expired, event_id } = await spread(services, { committed, targets, startedMs });
  return { name, version, bundle_sha256: sha256, epoch, acked, expired, event_id };
}
