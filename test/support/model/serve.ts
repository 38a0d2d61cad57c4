/**
 * The fake model as a process of its own: prints its URL as one line of JSON and serves until it is told to end.
 *
 *   node test/support/model/serve.ts [port] [api key]
 */
import { startFakeModel } from "./fake-model.ts";

const [port = "0", apiKey] = process.argv.slice(2);
const model = await startFakeModel({ port: Number(port), ...(apiKey === undefined ? {} : { apiKey }) });
process.stdout.write(`${JSON.stringify({ url: model.url })}\n`);
process.once("SIGTERM", () => void model.close());
