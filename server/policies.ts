/** Brings the policies of a server together: the built-in one, and the custom one that was in force when it stopped. */
import { formatPolicyDigest, type PolicyMaterial } from "@trustwarden/core/agentledger/evidence-policies.ts";
import { isHeld } from "./approvals/held.ts";
import { toTrustWardenError } from "./http/errors.ts";
import { createOpaBundles } from "./opa/bundles.ts";
import { readCustomMaterial } from "./opa/custom.ts";
import { createCustomPolicies } from "./opa/custom-policies.ts";
import { createExternalOpa } from "./opa/external.ts";
import { Policies } from "./opa/policies.ts";
import type { CustomPolicies, OpaBundles, Policy, PolicyReplays } from "./opa/ports.ts";
import { ThreadedReplays } from "./opa/replays.ts";
import type { Cleanup, Parts } from "./parts.ts";
import { FollowedPolicies } from "./shared/followed-policies.ts";

/** The policies in force, and how another is put there. */
export interface OpenedPolicies {
  readonly policies: Policy;
  readonly custom: CustomPolicies;
  readonly opaBundles: OpaBundles;
  readonly policyReplays: PolicyReplays;
  /** Code and data of those that decide now, by the digests that decisions name them by, in their order. */
  readonly policyMaterials: () => ReadonlyMap<string, PolicyMaterial>;
}

/**
 * The policies of the opened parts.
 *
 * A custom policy that cannot be used any more does not stop the start: an operator has to be able to load the next one.
 *
 * @throws TrustWardenError `config_invalid`.
 */
export async function openPolicies(
  { config, policy, store, keys, log, shared }: Parts,
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
    isHeld: () => isHeld(store),
  });
  const { deadlineMs } = settings;
  const policyReplays = new ThreadedReplays({ builtin: policy.material, policyDir, deadlineMs });
  const stored = store.reads.findPolicy();
  const held = () => materialsOf(policy.material, store.reads.findPolicy()?.bundle);
  const policyMaterials = () => {
    const inForce = new Set(policies.references.map(({ bundleSha256 }) => bundleSha256));
    return new Map([...held()].filter(([digest]) => inForce.has(digest)));
  };
  const inForce = shared === null ? { policies, custom } : followOthers({ policies, custom, store, log });
  const opened = { ...inForce, opaBundles, policyReplays, policyMaterials };
  if (stored === undefined) return opened;
  try {
    await custom.restore(stored.bundle);
  } catch (error) {
    // Safe to go on: what agents do is denied until a policy is loaded that can be used.
    const { code } = toTrustWardenError(error);
    log.error({ code, policy: stored.name }, "the custom policy cannot be used: agents may do nothing");
  }
  return opened;
}

/** The same, brought up to what another server loaded before anything is decided. */
function followOthers({
  policies,
  custom,
  store,
  log,
}: Pick<Parts, "store" | "log"> & {
  readonly policies: Policies;
  readonly custom: CustomPolicies;
}): Pick<OpenedPolicies, "policies" | "custom"> {
  const { reads } = store;
  const onUnusable = (error: unknown, { name }: { readonly name: string }): void => {
    const { code } = toTrustWardenError(error);
    log.error({ code, policy: name }, "the policy that another server loaded cannot be used here");
  };
  const { sha256 } = reads.findPolicy() ?? {};
  const followed = new FollowedPolicies({ policies, custom, reads, sha256, onUnusable });
  return { policies: followed, custom: followed };
}

/** The stored bundle was proven when it was loaded; what it comes to is compared with what is in force. */
function materialsOf(
  builtin: PolicyMaterial,
  bundle: Uint8Array | undefined,
): ReadonlyMap<string, PolicyMaterial> {
  const custom = bundle === undefined ? [] : [readCustomMaterial(bundle)];
  return new Map([builtin, ...custom].map((material) => [formatPolicyDigest(material), material]));
}
