/**
 * Stand-ins for clouds and model providers beside a server whose tokens they believe, for tests in other languages: says in
 * one line of JSON where they are, and does what it is told on a port of its own.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { createOwner, ticketOf } from "./actors.ts";
import { freePort } from "./free-port.ts";
import { jsonOf, send } from "./http.ts";
import { startTestServer } from "./server.ts";
import { startStandInProviders } from "./stand-in-providers.ts";
import { createWebCertificate } from "./web-certificate.ts";

const certificate = createWebCertificate();
const port = await freePort();
const issuer = `https://localhost:${port}`;
const web = { port, certFile: certificate.certFile, keyFile: certificate.keyFile };
const server = await startTestServer({ jwtIssuer: issuer, federation: { web } });
const owner = await createOwner(server);
const { authorities_sha256: authoritiesSha256 } = discovery.parse(
  jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })),
);
const ticket = formatTicketValue({
  authoritiesSha256,
  server: server.url,
  ticket: ticketOf(owner, { name: "first" }),
});
let subject = "";
const providers = await startStandInProviders(certificate, () => ({ issuer, subject }));

/** `{subject}` names whom they believe, `{override}` the next answer; each answer is what they were asked since the last one. */
const control = createServer(async (request, response) => {
  let text = "";
  for await (const part of request.setEncoding("utf8")) text += part;
  const told = JSON.parse(text);
  if (told.subject !== undefined) subject = told.subject;
  if (told.override !== undefined) providers.override = told.override;
  response.end(JSON.stringify(providers.log.splice(0)));
});
await new Promise<void>((resolve) => control.listen(0, "127.0.0.1", resolve));
const { port: controlPort }: Pick<AddressInfo, "port"> = Object(control.address());

process.once("SIGTERM", async () => {
  control.closeAllConnections();
  control.close();
  providers.close();
  await server.close();
  server.home.remove();
  certificate.remove();
  process.exit(0);
});
const told = { ready: true, control: `http://127.0.0.1:${controlPort}`, providers: providers.url };
process.stdout.write(`${JSON.stringify({ ...told, ca: certificate.ca, ticket })}\n`);
