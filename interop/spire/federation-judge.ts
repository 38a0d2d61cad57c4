/**
 * Real SPIRE servers federated both ways with a real server of ours, by both profiles; and a workload of SPIRE's as an
 * agent of ours, with the SVID that SPIRE's Workload API gives it.
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatTrustBundle, parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { federationAnswer } from "@trustwarden/core/api/federation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { AgentIdentity, createWorkloadApiClient, type WorkloadApiClient } from "trustwarden";
import { z } from "zod";
import { runWarden } from "../../cli/testing.ts";
import { serverIdOf } from "../../test/support/actors.ts";
import { type RawAnswer, send, sendAdmin } from "../../test/support/http.ts";
import { startTestServer, type TestServer } from "../../test/support/server.ts";
import { createWebCertificate, type WebCertificate } from "../../test/support/web-certificate.ts";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { openSpire, type SpireLab } from "./lab.ts";
import { requireSpire, SPIRE_VERSION } from "./tools.ts";

const OURS = "ours.test";
const SPIRE = "spire.test";
const WORKLOAD = `spiffe://${SPIRE}/worker`;
const SPIRE_SERVER = `spiffe://${SPIRE}/spire/server`;
/** SPIRE's agent asks its server every few seconds. */
const SYNC_MS = 30_000;

export const spireFederationJudge: Judge = { name: `spire-federation ${SPIRE_VERSION}`, run: judge };

/** Both sides of one relationship. */
interface Sides {
  readonly server: TestServer;
  readonly spire: SpireLab;
  readonly folder: string;
}

async function judge(lab: Lab): Promise<Findings> {
  const tools = await requireSpire(lab.root);
  const certificate = createWebCertificate();
  const verdicts: Verdict[] = [];
  // SPIRE believes the web's authorities that this variable names; it is read when its processes start.
  const before = process.env.SSL_CERT_FILE;
  process.env.SSL_CERT_FILE = certificate.certFile;
  try {
    for (const profile of ["https_spiffe", "https_web"] as const) {
      const folder = join(lab.scratch, profile);
      mkdirSync(folder, { recursive: true });
      const web = { port: 0, certFile: certificate.certFile, keyFile: certificate.keyFile };
      const server = await startTestServer({ trustDomain: OURS, federation: { web } });
      const isWeb = profile === "https_web";
      const spire = await openSpire(tools, folder, {
        trustDomain: SPIRE,
        isRateLimited: true,
        hasBundleEndpoint: true,
        ...(isWeb ? { webCertificate: web } : {}),
      });
      try {
        const sides = { server, spire, folder };
        verdicts.push(...(isWeb ? await judgeWeb(sides, certificate) : await judgeSpiffe(sides)));
        verdicts.push(...(await judgeWorkload(sides, profile)));
      } finally {
        await spire.close();
        await server.close();
        server.home.remove();
      }
    }
  } finally {
    if (before === undefined) delete process.env.SSL_CERT_FILE;
    else process.env.SSL_CERT_FILE = before;
    certificate.remove();
  }
  return countVerdicts(verdicts, "both profiles, both ways");
}

async function judgeSpiffe({ server, spire, folder }: Sides): Promise<readonly Verdict[]> {
  const bundle = await spire.server("bundle", "show", "-format", "spiffe");
  const endpoint = { profile: "https_spiffe", url: `${spire.bundleUrl}/`, endpoint_spiffe_id: SPIRE_SERVER };
  const wrong = { ...endpoint, endpoint_spiffe_id: `spiffe://${SPIRE}/other` };
  const refused = await create(server, { endpoint: wrong, bundle });
  await post(server, `/v1/federations/${SPIRE}/removal`, {});
  const accepted = await create(server, { endpoint, bundle });
  const ours = await bundleOf(server);
  const place = (endpointId: string) => [
    ...["-bundleEndpointProfile", "https_spiffe", "-bundleEndpointURL", `${server.url}/v1/bundle`],
    ...["-endpointSpiffeID", endpointId, "-trustDomain", OURS, "-trustDomainBundleFormat", "spiffe"],
  ];
  const file = join(folder, "ours.json");
  // A bundle that proves our endpoint but is older in number, so that a fetch shows.
  writeFileSync(file, older(ours));
  const stranger = `spiffe://${OURS}/trustwarden/server/other`;
  await spire.server("federation", "create", ...place(stranger), "-trustDomainBundlePath", file);
  const strange = await refreshed({ server, spire, folder });
  await spire.server("federation", "delete", "-id", OURS);
  await forget(spire);
  await spire.server(
    "federation",
    "create",
    ...place(await serverIdOf(server)),
    "-trustDomainBundlePath",
    file,
  );
  const good = await refreshed({ server, spire, folder });
  return [
    verdict(
      "ours takes SPIRE's bundle by https_spiffe",
      "accept",
      accepted.failure === null,
      accepted.failure,
    ),
    verdict("ours refuses SPIRE's endpoint under another SPIFFE ID", "refuse", refused.failure === null),
    verdict("SPIRE takes our bundle by https_spiffe", "accept", good),
    verdict("SPIRE refuses our endpoint under another SPIFFE ID", "refuse", strange),
  ];
}

async function judgeWeb(sides: Sides, certificate: WebCertificate): Promise<readonly Verdict[]> {
  const { server, spire } = sides;
  const endpoint = { profile: "https_web", url: `${spire.bundleUrl}/`, web_ca: certificate.ca };
  const refused = await create(server, { endpoint: { ...endpoint, web_ca: null } });
  await post(server, `/v1/federations/${SPIRE}/removal`, {});
  const accepted = await create(server, { endpoint });
  const place = (url: string) => [
    ...["-bundleEndpointProfile", "https_web", "-bundleEndpointURL", url, "-trustDomain", OURS],
  ];
  // The main listener shows an SVID: good by https_spiffe, no certificate of the web.
  await spire.server("federation", "create", ...place(`${server.url}/v1/bundle`));
  const strange = await refreshed(sides);
  await spire.server("federation", "delete", "-id", OURS);
  await spire.server("federation", "create", ...place(`${server.webUrl}/v1/bundle`));
  const good = await refreshed(sides);
  return [
    verdict("ours takes SPIRE's bundle by https_web", "accept", accepted.failure === null, accepted.failure),
    verdict("ours refuses SPIRE's endpoint with an unknown certificate", "refuse", refused.failure === null),
    verdict("SPIRE takes our bundle by https_web", "accept", good),
    verdict("SPIRE refuses our SVID as a certificate of the web", "refuse", strange),
  ];
}

/** A workload that SPIRE attests and that federates with us becomes an agent of ours, acts, and is stopped. */
async function judgeWorkload({ server, spire }: Sides, profile: string): Promise<readonly Verdict[]> {
  const selector = `unix:uid:${process.getuid?.() ?? 0}`;
  await spire.createEntry({ spiffeId: WORKLOAD, selector, federatesWith: `spiffe://${OURS}` });
  const client = createWorkloadApiClient({ socket: spire.socket });
  try {
    const bundles = await untilFederated(client);
    const svid = async () => (await client.fetchX509()).svids[0];
    await facts(server, "owner", "create", "alice");
    const created = await facts(
      server,
      ...["foreign", "create", WORKLOAD, "--as", "alice", "--name", "worker", "--scope", "read:reports"],
    );
    const agent = await AgentIdentity.fromSvid({ registration: z.string().parse(created.value), svid });
    const act = (action: string) =>
      codeOf(() => agent.act(action, "file://reports/7", null, async () => "done"));
    const allowed = await act("read:reports");
    const denied = await act("write:reports");
    const audit = await facts(server, "ledger", "verify");
    await facts(server, "stop", "worker", "--as", "alice");
    const stopped = await act("read:reports");
    await agent.close();
    const named = (what: string) => `${profile}: ${what}`;
    return [
      verdict(
        named("SPIRE's Workload API gives our bundle to its workload"),
        "accept",
        bundles.includes(OURS),
      ),
      verdict(named("SPIRE's workload acts as an agent of ours"), "accept", allowed === "done", allowed),
      verdict(named("what it did is proven offline"), "accept", audit.verified === true),
      verdict(named("it does nothing beyond its scope"), "refuse", denied === "done"),
      verdict(named("it does nothing once its owner stopped it"), "refuse", stopped === "done"),
    ];
  } finally {
    client.close();
  }
}

async function untilFederated(client: WorkloadApiClient): Promise<readonly string[]> {
  const deadline = Date.now() + SYNC_MS;
  for (;;) {
    const names = await client.fetchX509().then(
      ({ bundles }) => [...bundles.keys()].map(String),
      (): readonly string[] => [],
    );
    if (names.includes(OURS) || Date.now() > deadline) return names;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Whether SPIRE, told to fetch now, has exactly the bundle that we publish. */
async function refreshed({ server, spire }: Sides): Promise<boolean> {
  await spire.server("federation", "refresh", "-id", OURS).catch(() => "");
  const deadline = Date.now() + 5000;
  const trustDomain = parseTrustDomain(OURS);
  const ours = parseTrustBundle(await bundleOf(server), trustDomain);
  for (;;) {
    const text = await spire
      .server("bundle", "list", "-id", `spiffe://${OURS}`, "-format", "spiffe")
      .catch(() => "");
    const theirs = text.includes("{")
      ? parseTrustBundle(text.slice(text.indexOf("{")), trustDomain)
      : undefined;
    if (theirs !== undefined && isSame(theirs, ours)) return true;
    if (Date.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** Same keys; SPIRE counts a fetched bundle's sequence as its own. */
function isSame(left: ReturnType<typeof parseTrustBundle>, right: typeof left): boolean {
  const keys = (bundle: typeof left) =>
    formatTrustBundle({ ...bundle, sequence: 0, refreshHintSeconds: 0, revokedAuthorities: new Set() });
  return keys(left) === keys(right);
}

/** The X.509 authorities alone, under a lower number. */
function older(text: string): string {
  const bundle = parseTrustBundle(text, parseTrustDomain(OURS));
  return formatTrustBundle({ ...bundle, sequence: 0, jwtAuthorities: new Map() });
}

async function forget(spire: SpireLab): Promise<void> {
  await spire.server("bundle", "delete", "-id", `spiffe://${OURS}`, "-mode", "delete").catch(() => "");
}

async function create(server: TestServer, body: object) {
  return federationAnswer.parse(
    JSON.parse((await post(server, "/v1/federations", { trust_domain: SPIRE, ...body })).text),
  );
}

function post(server: TestServer, target: string, body: object): Promise<RawAnswer> {
  return sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
}

async function bundleOf(server: TestServer): Promise<string> {
  return (await send(server.url, { target: "/v1/bundle" })).text;
}

async function facts(
  { home }: TestServer,
  ...args: readonly string[]
): Promise<Readonly<Record<string, unknown>>> {
  const directories = ["--data", home.dataDir, "--config-dir", home.configDir];
  const { stdout } = await runWarden(home.configDir, [...args, ...directories, "--json"]);
  return z.record(z.string(), z.unknown()).parse(JSON.parse(stdout));
}

async function codeOf(act: () => Promise<string>): Promise<string> {
  return act().catch((error: unknown) => (error instanceof TrustWardenError ? error.code : "internal"));
}

function verdict(
  name: string,
  expected: Verdict["expected"],
  isAccepted: boolean,
  said: string | null = null,
): Verdict {
  return { name, expected, isAccepted, ...(said === null ? {} : { said }) };
}
