/** The two that are measured: our server with its node in one process, and SPIRE's server and agent. */
import { randomBytes, webcrypto } from "node:crypto";
import "@trustwarden/core/agentid/reflect.test.support.ts";
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from "@peculiar/x509";
import {
  entryIdOf,
  issueRegistrationEntry,
  type RegistrationEntry,
} from "@trustwarden/core/agentid/registration-entry.ts";
import { entryAnswer } from "@trustwarden/core/api/registration.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { AgentIdentity } from "trustwarden";
import { createClient } from "../../cli/client.ts";
import { openOwner } from "../../cli/owner-keys.ts";
import { createOwnerTransport } from "../../cli/owner-transport.ts";
import { resolvePaths } from "../../cli/paths.ts";
import { openSpire } from "../../interop/spire/lab.ts";
import type { SpireTools } from "../../interop/spire/tools.ts";
import { AUDITOR_UID, openWarden } from "../../interop/workload/server.ts";
import { openConnection } from "../../test/workload-api-conformance/grpc.ts";
import { encodeField } from "../../test/workload-api-conformance/wire.ts";
import { processorTicks, residentMib, TICKS_PER_SECOND } from "../process-use.ts";

const IDENTITIES = 8;
const PATIENCE_MS = 30_000;
/** Of SPIRE's administration. */
export const CREATE_ENTRIES = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
const random = (length: number) => new Uint8Array(randomBytes(length));

/** One of the two. */
export interface Side {
  readonly name: string;
  readonly socket: string;
  /** What was set, for the report. */
  readonly configuration: readonly string[];
  /** Has one X.509-SVID issued by the server; the number says which of eight callers asks. */
  issue(caller: number): Promise<void>;
  /** Has one JWT-SVID issued by the server, for an audience that nobody asked for before. */
  issueToken(caller: number): Promise<void>;
  /** Registers a workload of this user as another agent; its SPIFFE ID begins with the answer's `prefix`. */
  register(name: string): Promise<{ readonly prefix: string; readonly remove: () => Promise<void> }>;
  /** Resident memory of all its processes, in MiB. */
  residentMib(): number;
  /** Processor time of the server alone so far. With us the node is in that process. */
  processorSeconds(): number;
  close(): Promise<void>;
}

export async function openOurs(): Promise<Side> {
  const server = await openWarden();
  const paths = resolvePaths({ data: server.dataDir, configDir: server.configDir }, { env: {}, home: "/" });
  const owner = openOwner(paths, "judge");
  const transport = createOwnerTransport(owner, { nowMs: () => Date.now(), random });
  const client = createClient(transport);
  const identities: AgentIdentity[] = [];
  for (let index = 0; index < IDENTITIES; index += 1)
    identities.push(await createIdentity(server, `issue-${index}`));
  return {
    name: "TrustWarden",
    socket: server.socket,
    configuration: ["warden up --port 0 --stop-port 0: everything else as it comes"],
    issue: async (caller) => identities[caller % IDENTITIES]?.renew(),
    issueToken: async (caller) => void (await identities[caller % IDENTITIES]?.jwt(newAudience())),
    register: async (name) => {
      const nowSeconds = Math.floor(Date.now() / 1000);
      const document: RegistrationEntry = {
        ...{
          v: 1,
          kind: "agent",
          jti: formatUlid(Date.now(), random),
          aud: `spiffe://${server.trustDomain}`,
        },
        ...{ iat: nowSeconds, exp: nowSeconds + 3600, owner: owner.profile.ownerId, path: "team", name },
        ...{ scope: parseScope(["read:transactions"]), ttl_seconds: 3600, nodes: ["*"], hint: "" },
        limits: { depth: 0, fan_out: 0, budget: null },
        selectors: ["unix:uid:0"],
      };
      const entry = issueRegistrationEntry(document, owner.signer, owner.keyid);
      await client.post({ target: "/v1/entries", body: { entry }, schema: entryAnswer });
      return {
        prefix: `spiffe://${server.trustDomain}/team/${name}/`,
        remove: async () => {
          const target = `/v1/entries/${entryIdOf(document)}/removal`;
          await client.post({ target, body: {}, schema: entryAnswer });
        },
      };
    },
    residentMib: () => residentMib(server.pid),
    processorSeconds: () => processorSeconds(server.pid),
    close: async () => {
      for (const identity of identities) await identity.close();
      transport.close();
      await server.close();
    },
  };
}

async function createIdentity(
  server: Awaited<ReturnType<typeof openWarden>>,
  name: string,
): Promise<AgentIdentity> {
  const agent = ["--owner", "judge", "--path", "team", "--name", name, "--scope", "read:transactions"];
  const said: { readonly ticket: string } = JSON.parse(
    await server.warden("agent", "ticket", ...agent, "--ttl", "1h"),
  );
  return AgentIdentity.create({ name, ticket: said.ticket });
}

export async function openTheirs(tools: SpireTools, folder: string): Promise<Side> {
  const spire = await openSpire(tools, folder, { trustDomain: "spire.test", isRateLimited: false });
  const administration = openConnection({ kind: "unix", path: `${folder}/server.sock` });
  const call = async (path: string, request: Uint8Array) => {
    const started = administration.call(path, request);
    const message = await started.next(0, PATIENCE_MS);
    if (message === null) throw new Error(`${path}: ${(await started.ending).message}`);
    await started.ending;
  };
  const csr = await createRequest("spiffe://spire.test/minted");
  for (const [path, uid] of [
    ["team/pay", 0],
    ["team/audit", AUDITOR_UID],
  ] as const)
    await spire.createEntry({ spiffeId: `spiffe://spire.test/${path}`, selector: `unix:uid:${uid}` });
  return {
    name: "SPIRE",
    socket: spire.socket,
    configuration: spire.configuration,
    issue: () => call("/spire.api.server.svid.v1.SVID/MintX509SVID", encodeField(1, csr)),
    issueToken: () => {
      const request = Buffer.concat([encodeField(1, encodeId("/minted")), encodeField(2, newAudience())]);
      return call("/spire.api.server.svid.v1.SVID/MintJWTSVID", request);
    },
    register: async (name) => {
      const id = `bench-${name}`;
      await call(CREATE_ENTRIES, encodeEntry({ id, path: `/team/${name}`, selector: "uid:0" }));
      return { prefix: `spiffe://spire.test/team/${name}`, remove: () => spire.deleteEntry(id) };
    },
    residentMib: () => residentMib(spire.serverPid) + residentMib(spire.agentPid),
    processorSeconds: () => processorSeconds(spire.serverPid),
    close: async () => {
      administration.close();
      await spire.close();
    },
  };
}

function newAudience(): string {
  return `https://${randomBytes(8).toString("hex")}.test`;
}

/** One entry of `BatchCreateEntryRequest`, below the agent's own id. */
export function encodeEntry({
  id,
  path,
  selector,
}: {
  readonly id: string;
  readonly path: string;
  /** Of the unix attestor, such as `uid:0`. */
  readonly selector: string;
}): Uint8Array {
  const selected = Buffer.concat([encodeField(1, "unix"), encodeField(2, selector)]);
  const fields = [encodeField(1, id), encodeField(2, encodeId(path)), encodeField(3, encodeId("/node"))];
  return encodeField(1, Buffer.concat([...fields, encodeField(4, selected)]));
}

/** `spire.api.types.SPIFFEID`. */
function encodeId(path: string): Uint8Array {
  return Buffer.concat([encodeField(1, "spire.test"), encodeField(2, path)]);
}

async function createRequest(id: string): Promise<Uint8Array> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const names = new SubjectAlternativeNameExtension([{ type: "url", value: id }]);
  const request = await Pkcs10CertificateRequestGenerator.create(
    { name: "", keys, signingAlgorithm: algorithm, extensions: [names] },
    webcrypto,
  );
  return new Uint8Array(request.rawData);
}

/** Processor time so far. */
function processorSeconds(pid: number): number {
  const { user, system } = processorTicks(pid);
  return (user + system) / TICKS_PER_SECOND;
}
