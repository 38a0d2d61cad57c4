/** Brings the policies of a server together: the built-in one, and the custom one that was in force when it stopped. */
import { toTrustWardenError } from "./http/errors.ts";
import { createOpaBundles } from "./opa/bundles.ts";
import { createCustomPolicies } from "./opa/custom-policies.ts";
import { createExternalOpa } from "./opa/external.ts";
import { Policies } from "./opa/policies.ts";
import type { CustomPolicies, OpaBundles, Policy } from "./opa/ports.ts";
import type { Cleanup, Parts } from "./parts.ts";

/** The policies in force, and how another is put there. */
export interface OpenedPolicies {
  readonly policies: Policy;
  readonly custom: CustomPolicies;
  readonly opaBundles: OpaBundles;
}

/**
 * The policies of the opened parts.
 *
 * A custom policy that cannot be used any more does not stop the start: an operator has to be able to load the next one.
 *
 * @throws TrustWardenError `config_invalid`.
 */
export async function openPolicies(
  { config, policy, store, keys, log }: Parts,
  cleanups: Cleanup[],
): Promise<OpenedPolicies> {
  const { opa } = config.policy;
  const policies = new Policies(policy, opa === undefined ? undefined : createExternalOpa(opa));
  cleanups.push(() => policies.close());
  const { policy: settings, policyDir } = config;
  const custom = createCustomPolicies({ policies, settings, policyDir });
  const opaBundles = createOpaBundles({
    policyDir,
    signer: keys.serverSigner,
    builtinVersion: policy.data.version,
    custom: () => store.reads.findPolicy(),
  });
  const stored = store.reads.findPolicy();
  if (stored === undefined) return { policies, custom, opaBundles };
  try {
    await custom.restore(stored.bundle);
  } catch (error) {
    // Safe to go on: what agents do is denied until a policy is loaded that can be used.
    const { code } = toTrustWardenError(error);
    log.error({ code, policy: stored.name }, "the custom policy cannot be used: agents may do nothing");
  }
  return { policies, custom, opaBundles };
}
