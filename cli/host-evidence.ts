/** From the options of `warden node --attest` to the evidence that the host joins with. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type EvidenceSource, fromAzureMachine, fromEc2, fromGce, fromKubernetes } from "trustwarden";

/** What the command line says of the platform. */
export interface PlatformOptions {
  readonly server?: string;
  readonly attest?: string;
  readonly authorities?: string;
  readonly cluster?: string;
  readonly tokenFile?: string;
}

/** Where to join, and with what. */
interface HostEvidence {
  readonly server: string;
  readonly authoritiesSha256: string;
  readonly evidence: EvidenceSource;
}

/**
 * The evidence that was asked for; undefined without `--attest`.
 *
 * @throws TrustWardenError `usage` for another platform, or when something that it needs is missing.
 */
export function hostEvidenceOf(options: PlatformOptions): HostEvidence | undefined {
  const { attest: platform, server, authorities } = options;
  if (platform === undefined) return undefined;
  if (server === undefined || authorities === undefined) {
    throw new TrustWardenError("usage", { why: "--attest needs --server and --authorities" });
  }
  return { server, authoritiesSha256: authorities, evidence: sourceOf(platform, options) };
}

function sourceOf(platform: string, { cluster, tokenFile }: PlatformOptions): EvidenceSource {
  switch (platform) {
    case "ec2":
      return fromEc2();
    case "gce":
      return fromGce();
    case "azure-machine":
      return fromAzureMachine();
    case "kubernetes":
      if (cluster !== undefined && tokenFile !== undefined) return fromKubernetes({ cluster, tokenFile });
      throw new TrustWardenError("usage", { why: "--attest kubernetes needs --cluster and --token-file" });
    default:
      throw new TrustWardenError("usage", { why: "--attest knows ec2, gce, azure-machine and kubernetes" });
  }
}
