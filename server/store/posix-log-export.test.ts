/**
 * A ledger as the server's commands write it, on disk, verified by both verifiers: ours, and the program in
 * `examples/quickstart` that shares no code with it.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  digestOfEnrolment,
  formatOwnerKeyid,
  issueGrant,
  issueTicket,
  issueVerifierTicket,
} from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { parseSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { formatTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { verifyX509Svid } from "@trustwarden/core/agentid/x509-svid.ts";
import { createTestLogSigner } from "@trustwarden/core/agentledger/ledger.test.support.ts";
import type { CertificateVerifier } from "@trustwarden/core/agentledger/ports.ts";
import { Sequencer } from "@trustwarden/core/agentledger/sequencer.ts";
import { auditLog } from "@trustwarden/core/agentledger/verify-log.ts";
import { encodeBase64url, encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { issueEnvelope } from "@trustwarden/core/dsse.ts";
import { formatTime } from "@trustwarden/core/event.ts";
import { formatUuidV7 } from "@trustwarden/core/id.ts";
import { issueIntent } from "@trustwarden/core/intent.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  contextAt,
  createTestKey,
  createTestStore,
  digestOfLeaf,
  grantCommand,
  NOW,
  NOW_MS,
  type TestKey,
  type TestStore,
  ticketCommand,
  verifierCommand,
} from "./commands/fixture.test.support.ts";
import type { IssuedIdentity } from "./ports.ts";
import { PosixLogReader, PosixLogStorage } from "./posix-log.ts";
import { createPosixHighWater } from "./posix-log-high-water.ts";

const PROGRAM = join(import.meta.dirname, "../../examples/quickstart/verify-offline.mjs");
const root = mkdtempSync(join(tmpdir(), "log-export-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const random = (length: number) => new Uint8Array(crypto.getRandomValues(new Uint8Array(length)));
const nonce = encodeBase64url(new Uint8Array(32));
const digest = encodeBase64url(new Uint8Array(32));

interface Party {
  readonly identity: IssuedIdentity;
  readonly key: TestKey;
  readonly svidSha256: string;
}

/** Everything that happens in the test's ledger, in order. */
class World {
  readonly store: TestStore = createTestStore();
  readonly entries: Uint8Array[] = [];
  readonly #server: { readonly svidSha256: string };
  readonly #ownerKey = createTestKey();
  readonly #ownerId: string;

  constructor() {
    // A second later than the one of the fixture, which is not in this log: the newest signs.
    const start = this.#run<{ readonly svidSha256: string }>({
      kind: "issueServerSvid",
      command: { context: contextAt(NOW_MS + 1000), reason: "start" },
    });
    this.#server = start;
    const command = { context: contextAt(NOW_MS), name: "alice", spki: this.#ownerKey.spki };
    this.#ownerId = this.#run<{ readonly ownerId: string }>({ kind: "createOwner", command }).ownerId;
  }

  /** @param signer - of its ticket; another than its owner's for a forgery. */
  orchestrator(signer: Signer = this.#ownerKey.signer): Party {
    const key = createTestKey();
    const command = ticketCommand(this.#ownerId, { key });
    const { jti, scope, path, name, ttlSeconds, limits } = command;
    const signed = { depth: limits.depth, fan_out: limits.fanOut, budget: limits.budget };
    const enrolment = issueTicket(
      {
        v: 1,
        kind: "agent",
        jti,
        aud: "spiffe://acme.test",
        iat: NOW,
        exp: NOW + 60,
        owner: this.#ownerId,
        path,
        name,
        scope,
        ttl_seconds: ttlSeconds,
        limits: signed,
      },
      signer,
      formatOwnerKeyid(signer.publicKey),
    );
    return this.#born({ ...command, enrolment, possession: possessionOf(key, enrolment) }, key);
  }

  child(parent: Party): Party {
    const key = createTestKey();
    const command = grantCommand(
      { instanceId: parent.identity.instanceId, svidSha256: parent.svidSha256 },
      { key },
    );
    const { jti, scope, path, name, ttlSeconds, limits, thumbprint } = command;
    const signed = { depth: limits.depth, fan_out: limits.fanOut, budget: limits.budget };
    const enrolment = issueGrant(
      {
        v: 1,
        jti,
        aud: "spiffe://acme.test",
        iat: NOW,
        exp: NOW + 60,
        name,
        path,
        scope,
        ttl_seconds: ttlSeconds,
        limits: signed,
        child_thumbprint: thumbprint,
        parent: parseSpiffeId(parent.identity.spiffeId),
        svid_sha256: parent.svidSha256,
      },
      parent.key.signer,
    );
    return this.#born({ ...command, enrolment, possession: possessionOf(key, enrolment) }, key);
  }

  verifier(): Party {
    const key = createTestKey();
    const command = verifierCommand({ key });
    const { jti, name, ttlSeconds: ttl_seconds } = command;
    const enrolment = issueVerifierTicket(
      { v: 1, kind: "verifier", jti, aud: "spiffe://acme.test", iat: NOW, exp: NOW + 60, name, ttl_seconds },
      this.#serverSigner(),
      this.#server.svidSha256,
    );
    return this.#born({ ...command, enrolment, possession: possessionOf(key, enrolment) }, key);
  }

  revoke(id: string): void {
    this.#run({
      kind: "revoke",
      command: { context: contextAt(NOW_MS), target: { kind: "instance", id }, reason: "test" },
    });
  }

  /** One action of an agent at a service: intent, decision, outcome. */
  act({
    agent,
    service,
    seq,
    prev,
    allow = true,
    epoch = 0,
  }: {
    readonly agent: Party;
    readonly service: Party;
    readonly seq: number;
    readonly prev: string | null;
    readonly allow?: boolean;
    readonly epoch?: number;
  }): { readonly eventId: string; readonly payloadSha256: string } {
    const event_id = formatUuidV7(NOW_MS, random);
    const time = formatTime(NOW_MS);
    const { agentId, spiffeId } = agent.identity;
    const intent = issueIntent(
      {
        v: 1,
        event_id,
        agent: { id: agentId ?? "", spiffe_id: spiffeId, svid_sha256: agent.svidSha256 },
        action: "read:tx",
        resource: "postgres://finance-db/transactions",
        request: digest,
        params: null,
        aud: service.identity.spiffeId,
        job: null,
        time,
        exp: NOW + 30,
        seq,
        prev,
        seen: null,
      },
      agent.key.signer,
    );
    const decision = {
      v: 1,
      event_id,
      intent_sha256: intent.sha256,
      allow,
      reasons: allow ? [] : ["scope"],
      class: "C",
      chain: agent.identity.chain,
      policy: { name: "trustwarden-builtin-v1", bundle_sha256: digest },
      approval: null,
      from: { peer: "127.0.0.1" },
      custody: "agent",
      attested: { type: "none", strength: "none", composition_sha256: null },
      enforcement: "service",
      lease_epoch: epoch,
      time,
    };
    const outcome = {
      v: 1,
      event_id,
      intent_sha256: intent.sha256,
      decision_index: this.entries.length + 1,
      status: "success",
      result: null,
      bytes: 0,
      duration_ms: 1,
      time,
    };
    this.entries.push(encodeUtf8(intent.envelope));
    this.entries.push(
      encodeUtf8(issueEnvelope("decision", decision, this.#serverSigner(), this.#server.svidSha256)),
    );
    if (allow)
      this.entries.push(
        encodeUtf8(issueEnvelope("outcome", outcome, service.key.signer, service.svidSha256)),
      );
    return { eventId: event_id, payloadSha256: intent.payloadSha256 };
  }

  #serverSigner() {
    return this.store.deps.serverSigner;
  }

  #born(command: ReturnType<typeof ticketCommand>, key: TestKey): Party {
    const identity = this.#run<IssuedIdentity>({ kind: "issue", command });
    return { identity, key, svidSha256: digestOfLeaf(identity) };
  }

  #run<T>(command: Parameters<TestStore["run"]>[0]): T {
    const committed = this.store.run<T>(command);
    this.entries.push(...committed.entries);
    return committed.value;
  }
}

function possessionOf(key: TestKey, enrolment: string): string {
  return issuePossession({ nonce, enrolmentSha256: digestOfEnrolment(enrolment) }, key.signer);
}

/** Writes entries as a log on disk, and the trust bundle beside it. */
async function writeLog(
  name: string,
  world: World,
): Promise<{ readonly directory: string; readonly vkey: string; readonly bundle: string }> {
  const directory = join(root, name);
  const sequencer = new Sequencer({
    origin: "ledger.acme.test",
    signer: createTestLogSigner(),
    storage: new PosixLogStorage(directory),
    highWater: createPosixHighWater({ path: join(root, `${name}-mark`), dataDirectory: directory }),
    now: () => NOW,
    onFatal: () => undefined,
  });
  await sequencer.start();
  await sequencer.append(world.entries);
  await sequencer.stop();
  const bundle = join(root, `${name}-bundle.json`);
  writeFileSync(bundle, formatTrustBundle(world.store.authority.bundle));
  return { directory, vkey: sequencer.vkey, bundle };
}

function verifyOffline(...args: readonly string[]): {
  readonly status: number | null;
  readonly stdout: string;
} {
  const { status, stdout } = spawnSync(process.execPath, [PROGRAM, ...args], { encoding: "utf8" });
  return { status, stdout };
}

function certificatesOf(world: World): CertificateVerifier {
  const bundles = new Map([[parseTrustDomain("acme.test"), world.store.authority.bundle]]);
  return {
    verifyChain(chain, at) {
      const { id, leaf } = verifyX509Svid(chain, bundles, at);
      return {
        spiffeId: id,
        sha256: leaf.sha256,
        publicKey: leaf.publicKey,
        isForeign: false,
        notBefore: leaf.notBefore,
        expiresAt: leaf.notAfter,
      };
    },
  };
}

describe("an exported ledger", () => {
  const world = new World();
  const orchestrator = world.orchestrator();
  const child = world.child(orchestrator);
  const service = world.verifier();
  const first = world.act({ agent: child, service, seq: 1, prev: null });
  const denied = world.act({ agent: child, service, seq: 2, prev: first.payloadSha256, allow: false });
  world.revoke(child.identity.instanceId);
  let log: Awaited<ReturnType<typeof writeLog>>;
  let args: readonly string[];

  beforeAll(async () => {
    log = await writeLog("honest", world);
    args = ["--vkey", log.vkey, "--bundle", log.bundle];
  });

  it("verifies with the project's own audit", async () => {
    const report = await auditLog({
      reader: new PosixLogReader(log.directory),
      vkey: log.vkey,
      certificates: certificatesOf(world),
    });
    expect(report.findings).toEqual([]);
    expect(report.signatures).toBe(world.entries.length);
  });

  it("verifies with the program that shares no code, which answers the three questions", () => {
    const { status, stdout } = verifyOffline(log.directory, ...args, "--event", first.eventId);
    expect(stdout).toContain("VERIFIED (unwitnessed");
    expect(status).toBe(0);
    expect(stdout).toContain(`${world.entries.length} of ${world.entries.length} signatures good`);
    expect(stdout).toContain(`${child.identity.agentId}, instance ${child.identity.spiffeId}`);
    expect(stdout).toContain("outcome: success");
    expect(stdout).toContain(
      `owner ${child.identity.ownerId} signed the ticket of ${orchestrator.identity.spiffeId} for read:tx write:reports`,
    );
    expect(stdout).toContain(
      `${orchestrator.identity.spiffeId} signed the grant of ${child.identity.spiffeId} for read:tx`,
    );
    expect(stdout).toContain("allowed by policy trustwarden-builtin-v1");
    expect(stdout).toContain(`revoke the instance ${child.identity.instanceId}`);
    expect(stdout).toContain(`revoked already: ${child.identity.spiffeId} at epoch`);
    const other = verifyOffline(log.directory, ...args, "--event", denied.eventId);
    expect(other.status).toBe(0);
    expect(other.stdout).toContain("denied (scope) by policy");
  });

  it("is refused for an unknown event, another log key, another trust bundle, and no arguments", async () => {
    expect(
      verifyOffline(log.directory, ...args, "--event", "01990000-0000-7000-8000-000000000000").status,
    ).toBe(1);
    expect(
      verifyOffline(log.directory, "--vkey", log.vkey.replace("acme", "evil"), "--bundle", log.bundle).status,
    ).toBe(1);
    const stranger = await writeLog("stranger", new World());
    const foreign = verifyOffline(log.directory, "--vkey", log.vkey, "--bundle", stranger.bundle);
    expect(foreign.status).toBe(1);
    expect(foreign.stdout).toContain("no trust root issued it");
    expect(verifyOffline().status).toBe(2);
    expect(verifyOffline(join(root, "nowhere"), ...args).status).toBe(1);
  });

  it("is refused with any one bit flipped in any of its files", () => {
    const copy = join(root, "altered");
    cpSync(log.directory, copy, { recursive: true });
    const files = ["checkpoint", "tile"].flatMap((name) => filesUnder(join(copy, name)));
    expect(files).toHaveLength(3);
    for (const file of files) {
      const bytes = readFileSync(file);
      for (let round = 0; round < 6; round += 1) {
        const at = Math.floor(((round + 0.5) * bytes.length) / 6);
        writeFileSync(file, bytes.with(at, (bytes[at] ?? 0) ^ (1 << round)));
        const { status, stdout } = verifyOffline(copy, ...args);
        expect([status, stdout.includes("NOT VERIFIED")]).toEqual([1, true]);
      }
      writeFileSync(file, bytes);
    }
    expect(verifyOffline(copy, ...args).status).toBe(0);
  });

  it("is refused when the log itself holds what nobody should have signed", async () => {
    const forged = new World();
    const parent = forged.orchestrator();
    const bank = forged.verifier();
    const { payloadSha256 } = forged.act({ agent: parent, service: bank, seq: 1, prev: null });
    const honest = await writeLog("whole", forged);
    const honestArgs = ["--vkey", honest.vkey, "--bundle", honest.bundle];
    expect(verifyOffline(honest.directory, ...honestArgs).status).toBe(0);
    // A decision signed by the service instead of a server.
    const [intent, decision] = forged.entries.slice(-3);
    const payload = JSON.parse(
      Buffer.from(JSON.parse(Buffer.from(decision ?? "").toString()).payload, "base64").toString(),
    );
    forged.entries.splice(
      -2,
      2,
      encodeUtf8(issueEnvelope("decision", payload, bank.key.signer, bank.svidSha256)),
    );
    const byService = await writeLog("by-service", forged);
    expect(verifyOffline(byService.directory, ...honestArgs).stdout).toContain(
      "a decision that no server signed",
    );
    // The service as the agent.
    expect(intent).toBeDefined();
    forged.entries.splice(-2, 2);
    forged.act({ agent: { ...parent, key: bank.key }, service: bank, seq: 2, prev: payloadSha256 });
    const byOther = await writeLog("by-other", forged);
    expect(verifyOffline(byOther.directory, ...honestArgs).stdout).toContain("the signature is bad");
  });

  it("is refused when an agent is in it that its owner never signed for", async () => {
    const lying = new World();
    lying.orchestrator(createTestKey().signer);
    const written = await writeLog("unwanted", lying);
    const { status, stdout } = verifyOffline(
      written.directory,
      "--vkey",
      written.vkey,
      "--bundle",
      written.bundle,
    );
    expect(status).toBe(1);
    expect(stdout).toMatch(/PROBLEM {5}\S+: not so: own_\w+ signed the ticket/);
    const report = await auditLog({
      reader: new PosixLogReader(written.directory),
      vkey: written.vkey,
      certificates: certificatesOf(lying),
    });
    expect(report.findings.map(({ code }) => code)).toEqual(["enrolment_unproven"]);
  });

  it("is refused when something was allowed on an epoch that had revoked it", async () => {
    const late = new World();
    const agent = late.orchestrator();
    const bank = late.verifier();
    late.revoke(agent.identity.instanceId);
    late.act({ agent, service: bank, seq: 1, prev: null, epoch: 1 });
    const written = await writeLog("late", late);
    const { status, stdout } = verifyOffline(
      written.directory,
      "--vkey",
      written.vkey,
      "--bundle",
      written.bundle,
    );
    expect(stdout).toContain("allowed although it was revoked");
    expect(status).toBe(1);
    const report = await auditLog({
      reader: new PosixLogReader(written.directory),
      vkey: written.vkey,
      certificates: certificatesOf(late),
    });
    expect(report.findings.map(({ code }) => code)).toEqual(["allowed_after_revocation"]);
  });
});

function filesUnder(path: string): readonly string[] {
  if (statSync(path).isFile()) return [path];
  return readdirSync(path).flatMap((name) => filesUnder(join(path, name)));
}
