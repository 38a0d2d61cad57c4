/** A service that takes calls from its gateways alone, and `warden protect` before it; see `behind-gateway.ts`. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { peerChainOf } from "trustwarden";
import { type TestInstance, verifierTicket } from "../../test/support/actors.ts";
import { jsonOf } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { createWebCertificate } from "../../test/support/web-certificate.ts";
import type { Knowledge } from "./behind-gateway.ts";
import { call } from "./client.ts";
import type { World } from "./world.ts";

const ROUTES = [
  { method: "GET", path: "/orders/{id}", action: "read:orders:{id}", resource: "shop://orders/{id}" },
];

/** Both, running. */
export interface ProtectedShop {
  /** The service itself. */
  readonly backend: string;
  /** `warden protect` before it. */
  readonly gateway: { readonly url: string; readonly id: string };
}

/** @param leaked - another gateway of the service. */
export async function openProtectedShop(world: World, leaked: TestInstance): Promise<ProtectedShop> {
  const web = createWebCertificate();
  const directory = join(world.home.dataDir, "..");
  const [knowledgeFile, routes, ca] = ["knows.json", "routes.json", "web.pem"].map((name) =>
    join(directory, name),
  );
  const described = discovery.parse(
    jsonOf(await call(world.server.url, { target: "/.well-known/trustwarden" })),
  );
  const tell = (gateways: readonly string[], knowledge: Omit<Knowledge, "gateways">): void =>
    writeFileSync(knowledgeFile ?? "", JSON.stringify({ ...knowledge, gateways }));
  const knowledge = {
    certFile: web.certFile,
    keyFile: web.keyFile,
    trustDomain: TRUST_DOMAIN,
    bundle: (await call(world.server.url, { target: "/v1/bundle" })).text,
    serverChain: await readServerChain(world),
    logVkey: described.log_vkey,
  };
  tell([leaked.answer.spiffe_id], knowledge);
  const { ready } = await world.launch({ args: ["attacks/support/behind-gateway.ts", knowledgeFile ?? ""] });
  writeFileSync(routes ?? "", JSON.stringify({ routes: ROUTES }));
  writeFileSync(ca ?? "", web.ca);
  const ticket = await verifierTicket(world.server, { name: "orders" });
  const to = ["--to", String(ready.url), "--ca-file", ca ?? "", "--routes", routes ?? ""];
  const protect = await world.launch({
    args: ["cli/main.ts", "protect", ...to, "--listen", "127.0.0.1:0"],
    env: { HOME: directory, TRUSTWARDEN_TICKET: ticket },
  });
  web.remove();
  const gateway = { url: String(protect.ready.url), id: String(protect.ready.id) };
  tell([leaked.answer.spiffe_id, gateway.id], knowledge);
  return { backend: String(ready.url), gateway };
}

/** What the server shows in its handshake. */
async function readServerChain({ server }: World): Promise<readonly string[]> {
  const { hostname, port } = new URL(server.url);
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
  socket.once("secureConnect", () => resolve(socket)).once("error", reject);
  try {
    return peerChainOf(await promise).map(encodeBase64url);
  } finally {
    socket.destroy();
  }
}
