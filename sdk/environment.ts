/** The one file of the SDK that reads the environment. */

/** The ticket that the process was started with, if any; a bearer secret until it is used once. */
export function ticketFromEnvironment(): string | undefined {
  return process.env.TRUSTWARDEN_TICKET;
}

/** Where the Workload API of this host is, if the process was told. @see SPIFFE_Workload_Endpoint.md §4 */
export function endpointSocketFromEnvironment(): string | undefined {
  return process.env.SPIFFE_ENDPOINT_SOCKET;
}
