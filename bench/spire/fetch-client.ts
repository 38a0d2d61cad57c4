/**
 * One user's connections: `node fetch-client.ts SOCKET CONNECTIONS TIME_MS UID`. Opens them all, fetches on each once, then
 * fetches on one after the other for the time, one call under way at once. Prints the milliseconds of each as JSON.
 */
import { firstMessage, startMethod } from "../../test/workload-api-conformance/api.ts";
import { type Connection, openConnection, parseTarget } from "../../test/workload-api-conformance/grpc.ts";

const PATIENCE_MS = 30_000;
/** Sockets that are opened at once: the listener's backlog is not what is measured. */
const OPENED_AT_ONCE = 50;
/** Each fetch ends its stream by a reset, and Node's HTTP/2 server closes a connection after a thousand of them. */
const MAX_FETCHES_PER_CONNECTION = 800;

const [address = "", count = "", time = "", uid = ""] = process.argv.slice(2);
process.setgroups?.([]);
process.setgid?.(Number(uid));
process.setuid?.(Number(uid));

async function fetchOnce(connection: Connection): Promise<number> {
  const startedAt = performance.now();
  const { message, ending } = await firstMessage(startMethod(connection, "FetchX509SVID"), PATIENCE_MS);
  if (message === null) throw new Error(`refused, and the figure would mean nothing: ${ending?.message}`);
  return performance.now() - startedAt;
}

const connections: Connection[] = [];
while (connections.length < Number(count)) {
  const missing = Math.min(OPENED_AT_ONCE, Number(count) - connections.length);
  const opened = Array.from({ length: missing }, () => openConnection(parseTarget(address)));
  await Promise.all(opened.map(fetchOnce));
  connections.push(...opened);
}
const timesMs: number[] = [];
const deadline = performance.now() + Number(time);
const most = MAX_FETCHES_PER_CONNECTION * connections.length;
for (let index = 0; index < most && performance.now() < deadline; index += 1) {
  const connection = connections[index % connections.length];
  if (connection !== undefined) timesMs.push(await fetchOnce(connection));
}
for (const connection of connections) connection.close();
console.log(JSON.stringify(timesMs));
