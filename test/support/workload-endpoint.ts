/**
 * The Workload API over identities in memory, for tests in other languages: says where it listens in one line of JSON, then
 * rotates at SIGUSR2 and withdraws everything at SIGHUP.
 */
import { openTestEndpoint } from "../workload-api-conformance/memory-endpoint.test.support.ts";

const endpoint = await openTestEndpoint({ wit: (wit) => wit });
process.on("SIGUSR2", () => endpoint.rotate());
process.on("SIGHUP", () => endpoint.withdraw());
process.on("SIGTERM", () => void endpoint.close().then(() => process.exit(0)));
process.stdout.write(`${JSON.stringify({ socket: endpoint.socket })}\n`);
