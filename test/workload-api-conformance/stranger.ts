/**
 * One call as somebody else: `node stranger.ts ENDPOINT METHOD PATIENCE_MS UID`, started by the suite as root.
 *
 * Prints the ending as JSON, or `null` when a message came. The process gives up root before it connects, so that the
 * kernel names the other user to the endpoint.
 */
import { firstMessage, METHOD_NAMES, startMethod } from "./api.ts";
import { openConnection, parseTarget } from "./grpc.ts";

const [address = "", name = "", patience = "", uid = ""] = process.argv.slice(2);
const method = METHOD_NAMES.find((known) => known === name);
if (method === undefined) throw new Error(`no call ${name}`);
process.setgroups?.([]);
process.setgid?.(Number(uid));
process.setuid?.(Number(uid));
const connection = openConnection(parseTarget(address));
const { ending } = await firstMessage(startMethod(connection, method), Number(patience));
connection.close();
console.log(JSON.stringify(ending));
