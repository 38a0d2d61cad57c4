/** Addresses that only this machine reaches. */

const LOOPBACK: readonly string[] = ["127.0.0.1", "::1", "localhost"];

/** Whether whoever listens at this host is reached from this machine only. @param host - as in settings, without brackets. */
export function isLoopback(host: string): boolean {
  return LOOPBACK.includes(host);
}
