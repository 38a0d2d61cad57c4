/** The one file of the SDK that reads the environment. */

/** The ticket that the process was started with, if any; a bearer secret until it is used once. */
export function ticketFromEnvironment(): string | undefined {
  return process.env.TRUSTWARDEN_TICKET;
}
