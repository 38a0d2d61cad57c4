/**
 * The service that `guard` and `create` measure with, a process of its own: one small answer behind `verifyAgent`, and
 * the same answer for anybody, with the same certificate and TLS settings, on another port.
 */
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { verifyAgent } from "trustwarden";

const ANSWER = JSON.stringify({
  transactions: Array.from({ length: 4 }, (_, id) => ({ id, amount: 12.5, currency: "EUR", to: "acme" })),
});
const HEADERS = { "content-type": "application/json" };

const guardAgents = await verifyAgent({
  routes: [
    {
      method: "GET",
      path: "/transactions",
      action: "read:transactions",
      resource: "postgres://finance-db/transactions",
    },
  ],
  onRefusal: (error) => console.error(`refused: ${error instanceof Error ? error.message : error}`),
});
const guarded = guardAgents.createServer((_request, response) => {
  response.writeHead(200, HEADERS);
  response.end(ANSWER);
});
const bare = createServer(guardAgents.tlsOptions(), (request, response) => {
  request.resume();
  response.writeHead(200, HEADERS);
  response.end(ANSWER);
});

const [guardedUrl, bareUrl] = [await listen(guarded), await listen(bare)];
process.once("SIGTERM", async () => {
  for (const server of [guarded, bare]) {
    server.close();
    server.closeAllConnections();
  }
  await guardAgents.close();
});
console.log(JSON.stringify({ ready: true, guarded: guardedUrl, bare: bareUrl }));

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port }: AddressInfo = Object(server.address());
  return `https://127.0.0.1:${port}`;
}
