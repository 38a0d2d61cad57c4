/**
 * A real SPIRE server and ours, federated both ways by `https_spiffe`: each fetches the other's bundle and its next one,
 * each side's Workload API then proves the other's workloads, and neither believes an endpoint that is not the named one.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "node:tls";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import {
  acceptTrustDomain,
  connectMutualTls,
  createJwtSource,
  createMutualTlsServer,
  createWorkloadApiClient,
  createX509Source,
  type MutualTls,
  type WorkloadApiClient,
  type X509Source,
} from "trustwarden";
import { countVerdicts, type Findings, type Judge, type Lab, type Verdict } from "../judge.ts";
import { listenLocally } from "../listen.ts";
import { openSpire, type SpireLab } from "../spire/lab.ts";
import { requireSpire } from "../spire/tools.ts";
import { attempt, until } from "./attempt.ts";
import { openWarden, type WardenServer } from "./server.ts";

const SPIRE_DOMAIN = "spire.test";
const SPIRE_ENDPOINT = `spiffe://${SPIRE_DOMAIN}/spire/server`;
const AUDIENCE = "https://federated.test";
/** Between a refresh and the list that shows it. */
const REFRESH_MS = 500;

export const federationJudge: Judge = { name: "spire-federation-workloads 1.15.3", run: judgeFederation };

interface Sides {
  readonly lab: Lab;
  readonly ours: WardenServer;
  readonly spire: SpireLab;
}

async function judgeFederation(lab: Lab): Promise<Findings> {
  const tools = await requireSpire(lab.root);
  const folder = join(lab.scratch, "spire-federation");
  const spire = await openSpire(tools, folder, {
    ...{ trustDomain: SPIRE_DOMAIN, isRateLimited: true, hasBundleEndpoint: true },
  });
  const ours = await openWarden();
  try {
    const sides = { lab, ours, spire };
    return countVerdicts([...(await relate(sides)), ...(await converse(sides)), ...(await renew(sides))]);
  } finally {
    await ours.close();
    await spire.close();
  }
}

async function relate({ lab, ours, spire }: Sides): Promise<readonly Verdict[]> {
  const theirFile = join(lab.scratch, "spire.json");
  writeFileSync(theirFile, await spire.server("bundle", "show", "-format", "spiffe"));
  const ourFile = join(lab.scratch, "ours.json");
  writeFileSync(ourFile, await ours.warden("bundle", "show"));
  const ourEndpoint = await endpointIdOf(ours.url);
  const believe = (endpoint: string) =>
    ours.warden(
      ...["federation", "create", SPIRE_DOMAIN, "--profile", "https_spiffe", "--url", spire.bundleUrl ?? ""],
      ...["--endpoint-spiffe-id", endpoint, "--bundle", theirFile],
    );
  const beBelieved = (endpoint: string) =>
    spire.server(
      ...["federation", "create", "-trustDomain", ours.trustDomain, "-bundleEndpointProfile", "https_spiffe"],
      ...["-bundleEndpointURL", `${ours.url}/v1/bundle`, "-endpointSpiffeID", endpoint],
      ...["-trustDomainBundleFormat", "spiffe", "-trustDomainBundlePath", ourFile],
    );
  const refreshOurs = () => ours.warden("federation", "refresh", SPIRE_DOMAIN);
  const refreshSpire = () => spire.server("federation", "refresh", "-id", ours.trustDomain);
  return [
    await attempt("our server does not believe an endpoint that is not the named one", "refuse", async () => {
      await believe(`spiffe://${SPIRE_DOMAIN}/somebody`);
      await refreshOurs();
    }),
    await attempt("our server fetches SPIRE's bundle", "accept", async () => {
      await ours.warden("federation", "remove", SPIRE_DOMAIN).catch(() => undefined);
      await believe(SPIRE_ENDPOINT);
      await refreshOurs();
    }),
    await attempt("SPIRE does not believe an endpoint that is not the named one", "refuse", async () => {
      await beBelieved(`spiffe://${ours.trustDomain}/somebody`);
      await refreshSpire();
    }),
    await attempt("SPIRE fetches our bundle", "accept", async () => {
      await spire.server("federation", "delete", "-id", ours.trustDomain).catch(() => undefined);
      await beBelieved(ourEndpoint);
      await refreshSpire();
    }),
  ];
}

/** Each workload proves the other's identity by what its own Workload API gives it. */
async function converse({ ours, spire }: Sides): Promise<readonly Verdict[]> {
  await spire.createEntry({
    ...{ spiffeId: `spiffe://${SPIRE_DOMAIN}/team/pay`, selector: `unix:uid:${process.getuid?.() ?? 0}` },
    federatesWith: ours.trustDomain,
  });
  const here = createWorkloadApiClient({ socket: ours.socket });
  const there = createWorkloadApiClient({ socket: spire.socket });
  try {
    await untilFederated(there, ours.trustDomain);
    return [
      ...(await exchange("SPIRE's workload", there, here)),
      ...(await exchange("our workload", here, there)),
      ...(await meet({ ours, spire })),
    ];
  } finally {
    here.close();
    there.close();
  }
}

async function exchange(
  who: string,
  from: WorkloadApiClient,
  to: WorkloadApiClient,
): Promise<readonly Verdict[]> {
  const shown = await from.fetchX509();
  const believed = await to.fetchX509();
  const [{ chain }] = shown.svids;
  const now = Math.floor(Date.now() / 1000);
  const [token] = await from.fetchJwtSvids({ audience: [AUDIENCE] });
  const svid = token?.svid ?? "";
  return [
    await attempt(`${who} is proven abroad by its certificate`, "accept", async () =>
      verifyX509Svid(chain, believed.bundles, now),
    ),
    await attempt(`${who} is proven abroad by its token`, "accept", () =>
      to.validateJwtSvid({ audience: AUDIENCE, svid }),
    ),
    await attempt(`a token of ${who} for another audience`, "refuse", () =>
      to.validateJwtSvid({ audience: "https://other.test", svid }),
    ),
  ];
}

/** Mutual TLS across the two trust domains, and tokens that are proven without a call, by the sources of the SDK. */
async function meet({ ours, spire }: Pick<Sides, "ours" | "spire">): Promise<readonly Verdict[]> {
  const sources = await Promise.all([ours, spire].map(({ socket }) => createX509Source({ socket })));
  const tokens = await Promise.all([ours, spire].map(({ socket }) => createJwtSource({ socket })));
  const [here, there] = sources;
  const [verifier, issuer] = tokens;
  if (!here || !there || !verifier || !issuer) throw new Error("four sources");
  const listener = createMutualTlsServer(
    { source: here, accept: acceptTrustDomain(SPIRE_DOMAIN) },
    ({ socket, peer }) => socket.end(peer),
  );
  try {
    const port = await listenLocally(listener);
    const dial = async (source: X509Source, accept: MutualTls["accept"]) => {
      const { socket } = await connectMutualTls({ source, accept }, { host: "127.0.0.1", port });
      if ((await text(socket)) !== source.svid().spiffeId) throw new Error("the server took us for another");
    };
    const [token] = await issuer.fetch({ audience: [AUDIENCE] });
    const prove = (audience: string) => verifier.verify({ svid: token?.svid ?? "", audience });
    return [
      await attempt("SPIRE's workload in mutual TLS with ours", "accept", () =>
        dial(there, acceptTrustDomain(ours.trustDomain)),
      ),
      await attempt("a server of another trust domain than SPIRE's workload wants", "refuse", () =>
        dial(there, acceptTrustDomain(SPIRE_DOMAIN)),
      ),
      await attempt("a caller of another trust domain than our server wants", "refuse", () =>
        dial(here, acceptTrustDomain(ours.trustDomain)),
      ),
      await attempt("a token of SPIRE's, proven here without a call", "accept", async () => prove(AUDIENCE)),
      await attempt("the same for another audience", "refuse", async () => prove("https://other.test")),
    ];
  } finally {
    listener.close();
    for (const source of [...sources, ...tokens]) source.close();
  }
}

/** Both prepare another key, publish it, and are asked again. */
async function renew({ ours, spire }: Sides): Promise<readonly Verdict[]> {
  const bundleHere = async () =>
    parseTrustBundle(await ours.warden("bundle", "show", SPIRE_DOMAIN), parseTrustDomain(SPIRE_DOMAIN));
  const before = await bundleHere();
  return [
    await attempt("SPIRE's next root arrives at our server", "accept", async () => {
      await spire.server("localauthority", "x509", "prepare");
      await until(async () => {
        await ours.warden("federation", "refresh", SPIRE_DOMAIN);
        return (await bundleHere()).x509Authorities.length > before.x509Authorities.length;
      });
    }),
    await attempt("our next JWT key arrives at SPIRE", "accept", async () => {
      const listed = () =>
        spire.server("bundle", "list", "-format", "spiffe", "-id", `spiffe://${ours.trustDomain}`);
      const known = (await listed()).match(/"kid"/g)?.length ?? 0;
      await ours.prepare("jwt");
      await until(async () => {
        await spire.server("federation", "refresh", "-id", ours.trustDomain);
        await sleep(REFRESH_MS);
        return ((await listed()).match(/"kid"/g)?.length ?? 0) > known;
      });
    }),
  ];
}

async function untilFederated(client: WorkloadApiClient, trustDomain: string): Promise<void> {
  const wanted = parseTrustDomain(trustDomain);
  await until(async () => {
    try {
      return (await client.fetchX509()).bundles.has(wanted);
    } catch {
      // Not registered yet, as far as the agent knows; the wait has an end.
      return false;
    }
  });
}

/** The SPIFFE ID in the certificate that a listener shows; whether to believe it is the other side's business. */
function endpointIdOf(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
    const names = socket.getPeerX509Certificate()?.subjectAltName ?? "";
    socket.destroy();
    const id = /URI:(spiffe:\/\/[^,\s]+)/.exec(names)?.[1];
    if (id === undefined) reject(new Error(`no SPIFFE ID in ${names}`));
    else resolve(parseSpiffeId(id));
  });
  socket.once("error", reject);
  return promise;
}
