/**
 * Which server a ticket or an owner key is for: asked of the running server where there is one, else what the owner's
 * profile remembers, so that tickets can be signed on a machine without the server.
 */
import { statusAnswer } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Client } from "./client.ts";
import type { OwnerProfile } from "./owner-keys.ts";

export type ServerDescription = Pick<
  OwnerProfile,
  "trustDomain" | "serverUrl" | "stopUrl" | "authoritiesSha256"
>;

/** What the running server says of itself, to an operator. */
export async function fetchServerDescription(client: Client): Promise<ServerDescription> {
  const status = await client.get("/v1/status", statusAnswer);
  return {
    trustDomain: status.trust_domain,
    serverUrl: status.server_url,
    stopUrl: status.stop_url,
    authoritiesSha256: status.authorities_sha256,
  };
}

/** The running server's description; the profile's where no server runs on this machine. */
export async function describeServer(client: Client, profile: OwnerProfile): Promise<ServerDescription> {
  try {
    return await fetchServerDescription(client);
  } catch (error) {
    // Only an absent server is replaced by what is remembered; any other failure must not be hidden.
    if (error instanceof TrustWardenError && error.code === "server_unreachable") return profile;
    throw error;
  }
}
