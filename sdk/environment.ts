/** The one file of the SDK that reads the environment. */

/** The ticket that the process was started with, if any; a bearer secret until it is used once. */
export function ticketFromEnvironment(): string | undefined {
  return process.env.TRUSTWARDEN_TICKET;
}

/** Origins of the relays that this process takes its lease from, if it was told any. */
export function relaysFromEnvironment(): readonly string[] {
  const text = process.env.TRUSTWARDEN_RELAYS ?? "";
  return text
    .split(",")
    .map((origin) => origin.trim())
    .filter((origin) => origin !== "");
}

/** Where the Workload API of this host is, if the process was told. @see SPIFFE_Workload_Endpoint.md §4 */
export function endpointSocketFromEnvironment(): string | undefined {
  return process.env.SPIFFE_ENDPOINT_SOCKET;
}

/** Where a job of GitHub Actions gets its OIDC token; undefined outside of one, or without the permission. */
export function githubTokenRequestFromEnvironment():
  | { readonly url: string; readonly token: string }
  | undefined {
  const { ACTIONS_ID_TOKEN_REQUEST_URL: url, ACTIONS_ID_TOKEN_REQUEST_TOKEN: token } = process.env;
  return url === undefined || token === undefined ? undefined : { url, token };
}
