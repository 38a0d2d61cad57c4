/**
 * Custom policies of a server: which keys may sign them, and which is in force.
 *
 * A policy that was loaded once has to be usable: when its key was retired meanwhile, or it cannot be started, agents
 * may do nothing until another is loaded. It was there to forbid something.
 */
import { createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { type PublicKey, parseP256PublicKey, sha256 } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { PolicyConfig } from "./config.ts";
import { openCustomPolicy, verifyCustomBundle } from "./custom.ts";
import { readHostBuiltins } from "./host-builtins.ts";
import type { Policies } from "./policies.ts";
import type { CustomPolicies } from "./ports.ts";

export interface CustomPoliciesOptions {
  readonly policies: Policies;
  readonly settings: Pick<PolicyConfig, "signers" | "deadlineMs">;
  /** Path of `policies/`, whose `capabilities.json` names what a policy may use. */
  readonly policyDir: string;
}

/** Custom policies, and the one that was in force when the server stopped. */
export interface RestorableCustomPolicies extends CustomPolicies {
  /** Puts it in force again. @throws TrustWardenError as `prepare`: then agents may do nothing. */
  restore(bundle: Uint8Array): Promise<void>;
}

/** @throws TrustWardenError `config_invalid` when a signer's key is no P-256 public key in PEM. */
export function createCustomPolicies({
  policies,
  settings,
  policyDir,
}: CustomPoliciesOptions): RestorableCustomPolicies {
  const { deadlineMs } = settings;
  const keys = new Map(settings.signers.map(({ id, publicKeyFile }) => [id, readPublicKey(publicKeyFile)]));
  const open = async (bundle: Uint8Array) => {
    const verified = verifyCustomBundle(bundle, keys);
    return {
      verified,
      custom: await openCustomPolicy(verified, { hostBuiltins: readHostBuiltins(policyDir), deadlineMs }),
    };
  };
  return {
    async restore(bundle) {
      policies.useNone();
      policies.use((await open(bundle)).custom);
    },
    async prepare(bundle) {
      const { verified, custom } = await open(bundle);
      const { name, version, keyId } = verified;
      return {
        name,
        version,
        keyId,
        sha256: encodeBase64url(sha256(bundle)),
        policySha256: custom.policy.bundleSha256,
        putInForce: (commit) => policies.replaceCustom(custom, commit),
      };
    },
  };
}

function readPublicKey(path: string): PublicKey {
  try {
    const key = createPublicKey(readFileSync(path, "utf8"));
    return parseP256PublicKey(key.export({ type: "spki", format: "der" }));
  } catch (cause) {
    const reason = "not a P-256 public key in PEM";
    throw new TrustWardenError("config_invalid", { setting: "policy.signers", reason, path }, { cause });
  }
}
