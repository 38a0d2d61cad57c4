/** E7: the service behind the gateway, called past it. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { encodeBase64url, encodeUtf8, parseBase64url } from "@trustwarden/core/bytes.ts";
import { peerChainOf } from "trustwarden";
import {
  askDecision,
  intentOf,
  parseDecision,
  signedRequest,
  type TestInstance,
  verifierTicket,
} from "../../test/support/actors.ts";
import { type ClientTls, jsonOf, type RawAnswer } from "../../test/support/http.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { createWebCertificate } from "../../test/support/web-certificate.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import type { Knowledge } from "../support/behind-gateway.ts";
import { call, expectRefusal } from "../support/client.ts";
import { forgeUnderLeaf } from "../support/forged.ts";
import type { World } from "../support/world.ts";

const ORDER = { action: "read:orders:42", resource: "shop://orders/42" };
const ROUTES = [
  { method: "GET", path: "/orders/{id}", action: "read:orders:{id}", resource: "shop://orders/{id}" },
];
const RECEIPT = "trustwarden-receipt";

interface Scene {
  readonly agent: TestInstance;
  /** The service itself. */
  readonly backend: string;
  /** `warden protect` before it. */
  readonly gateway: { readonly url: string; readonly id: string };
  /** Another gateway of the service, whose key the attacker has. */
  readonly leaked: TestInstance;
  /** A service that has nothing to do with it. */
  readonly other: TestInstance;
  /** Of the agent's visit through the gateway. */
  spent: string;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "E7",
  title:
    "calls the service past its gateway: as nobody, as itself, as another service, under the gateway's name, with the gateway's headers, with a gateway's key",
  expected:
    "refused without a gateway's SVID, and with one without the receipt of a fresh decision that binds there",
  weakening: "receipts-of-any-place",
  world: {},
  prepare: async (world): Promise<Scene> => {
    const leaked = await world.enrolVerifier();
    const { backend, gateway } = await openService(world, leaked);
    const agent = await world.enrol(["read:orders:42"]);
    return { agent, other: await world.enrolVerifier(), backend, gateway, leaked, spent: "" };
  },
  control: async (world, scene) => {
    const answer = await visitThrough(scene);
    expectSame(
      [answer.status, jsonOf(answer).agent],
      [200, scene.agent.answer.spiffe_id],
      "through the gateway",
    );
    scene.spent = String(answer.headers[RECEIPT]);
    expect(scene.spent.length > 100, "the visitor has the receipt of its visit");
    expectSame((await visitThrough(scene)).status, 200, "and again");
    expectSame(world.child.isRunning(), true, "the server runs");
  },
  attack: async (world, { agent, other, backend, gateway, leaked, spent }) => {
    const shown = {
      "trustwarden-agent": agent.answer.spiffe_id,
      "trustwarden-action": ORDER.action,
      [RECEIPT]: spent,
    };
    const past = (headers: Readonly<Record<string, string>>, tls?: ClientTls): Promise<RawAnswer> =>
      call(backend, { target: "/orders/42", headers }, { tls });
    expectRefusal(await past(shown), { status: 401, code: "no_svid" }, "nobody");
    const untrusted = { status: 401, code: "peer_untrusted" };
    expectRefusal(await past(shown, agent.tls), untrusted, "the agent itself, with its receipt");
    expectRefusal(await past(shown, other.tls), untrusted, "another service");
    const key = new Uint8Array(agent.signer.privateKey.export({ type: "pkcs8", format: "der" }));
    const forged = await forgeUnderLeaf(key, agent.answer.svid_chain.map(parseBase64url), {
      uris: [gateway.id],
    });
    const named = await past(shown, forged.tls);
    expectRefusal(named, { status: 401, code: "svid_untrusted" }, "a certificate of the gateway's name");
    const unproven = { status: 401, code: "receipt_invalid" };
    expectRefusal(await past({}, leaked.tls), unproven, "a gateway's key without a receipt");
    expectRefusal(
      await past(shown, leaked.tls),
      unproven,
      "a gateway's key with a receipt that was shown before",
    );
    const altered = { ...shown, [RECEIPT]: spent.replace(/^.{40}/, (head) => head.toLowerCase()) };
    expectRefusal(await past(altered, leaked.tls), unproven, "a gateway's key with an altered receipt");
    const own = { ...shown, [RECEIPT]: await receiptOfOwn(world, agent) };
    expectRefusal(
      await past(own, leaked.tls),
      unproven,
      "a gateway's key with a decision that binds the agent alone",
    );
  },
  evidence: async (ledger, { agent }) => {
    // What the service behind refused is nobody's action; the attacker's own decision is there.
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal }, 1);
  },
});

/** The service, and `warden protect` before it. */
async function openService(world: World, leaked: TestInstance): Promise<Pick<Scene, "backend" | "gateway">> {
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

function visitThrough({ agent, gateway }: Scene): Promise<RawAnswer> {
  const request = { target: "/orders/42", aud: gateway.id, action: ORDER.action, intent: ORDER };
  return call(gateway.url, signedRequest(agent, request), { tls: agent.tls });
}

/** An allowed decision about the agent's own process, as a header. */
async function receiptOfOwn(world: World, agent: TestInstance): Promise<string> {
  const intent = intentOf(agent, { aud: await world.serverId(), ...ORDER });
  const own = parseDecision(await askDecision(world.server, { caller: agent, agent, intent }));
  expectSame([own.allow, own.enforcement], [true, "self"], "a decision for the agent's own process");
  return encodeBase64url(encodeUtf8(JSON.stringify(own.receipt)));
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
