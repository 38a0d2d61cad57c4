/** A real server whose root's key is in a stand-in for AWS KMS: first start, rotation, and KMS away. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { slotIdOf } from "@trustwarden/core/agentid/authority-slots.ts";
import { parseCertificateRevocationList } from "@trustwarden/core/agentid/certificate-revocation-list.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { requireSuccession } from "@trustwarden/core/agentid/succession.ts";
import { digestOfAuthorities, parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { authorityAnswer, successionList } from "@trustwarden/core/api/authority.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createOwner, enrolAgent } from "./support/actors.ts";
import { codeOf, jsonOf, type RawAnswer, send, sendAdmin } from "./support/http.ts";
import { KMS_CREDENTIALS, KMS_REGION, refuse, startTestKms, type TestKms } from "./support/kms.ts";
import {
  createHome,
  startTestServer,
  type TestHome,
  type TestServer,
  TRUST_DOMAIN,
} from "./support/server.ts";

const trustDomain = parseTrustDomain(TRUST_DOMAIN);
let folder: string;
let kms: TestKms;
let keyId: string;
let home: TestHome;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "tw-kms-"));
  kms = await startTestKms();
  keyId = kms.addKey();
  home = createHome();
  const { accessKeyId, secretAccessKey, sessionToken } = KMS_CREDENTIALS;
  const file = {
    Version: 1,
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: sessionToken,
  };
  writeFileSync(join(folder, "aws"), JSON.stringify(file), { mode: 0o600 });
});
afterEach(async () => {
  await kms.close();
  home.remove();
  rmSync(folder, { recursive: true, force: true });
});

const start = (key = keyId) =>
  startTestServer(
    {
      signer: {
        kind: "sealed",
        root: {
          kind: "aws-kms",
          region: KMS_REGION,
          keyId: key,
          endpoint: kms.url,
          credentialsFile: join(folder, "aws"),
          timeoutMs: 2000,
        },
      },
    },
    home,
  );

async function using(server: TestServer, use: (server: TestServer) => Promise<void>): Promise<void> {
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

const step = (server: TestServer, body: object): Promise<RawAnswer> =>
  sendAdmin(server.adminSocket, {
    method: "POST",
    target: "/v1/authority/steps",
    body: JSON.stringify(body),
  });
async function done(server: TestServer, body: object): Promise<void> {
  const answer = await step(server, body);
  expect(answer.status, answer.text).toBe(200);
}
const keysOf = async (server: TestServer) =>
  authorityAnswer.parse(jsonOf(await sendAdmin(server.adminSocket, { target: "/v1/authority" }))).keys;
const keyOf = async (server: TestServer, kind: string, state: string) =>
  (await keysOf(server)).find((key) => key.kind === kind && key.state === state)?.id ?? "";
const bundleOf = async (server: TestServer) =>
  parseTrustBundle((await send(server.url, { target: "/v1/bundle" })).text, trustDomain);
const listOf = async (server: TestServer) =>
  parseCertificateRevocationList(new Uint8Array((await send(server.url, { target: "/v1/crl/root" })).bytes));
const away = () => {
  kms.misbehave = (response) => refuse(response, "KMSInternalException", 500);
};

describe("a root whose key is in KMS", () => {
  it("is KMS's key in the bundle, is in no file, and signs intermediates, lists and successions", async () => {
    await using(await start(), async (server) => {
      const [root] = (await bundleOf(server)).x509Authorities;
      expect(root === undefined ? "" : slotIdOf(encodeSpki(root.publicKey))).toBe(
        slotIdOf(kms.spkiOf(keyId)),
      );
      const keys = await keysOf(server);
      const slot = keys.find(({ id }) => id === slotIdOf(kms.spkiOf(keyId)));
      expect(slot).toMatchObject({ kind: "root", custody: "aws-kms", state: "active" });
      const files = readdirSync(join(home.dataDir, "keys"));
      expect(files.filter((name) => /^root-.*\.key$/.test(name))).toEqual([]);
      const owner = await createOwner(server);
      await enrolAgent(server, owner);
      const old = await keyOf(server, "intermediate", "active");
      await done(server, { step: "rotate", kind: "intermediate", force: true });
      await enrolAgent(server, owner);
      await done(server, { step: "revoke", id: old });
      expect((await listOf(server)).revoked).toHaveLength(1);
    });
    expect(readFileSync(join(home.dataDir, "keys", "first-authority.json"), "utf8")).toContain(
      kms.arnOf(keyId),
    );
  });

  it("is followed by one with another key of KMS, whose succession the old one signed", async () => {
    const next = kms.addKey();
    await using(await start(), async (server) => {
      const again = await step(server, { step: "prepare", kind: "root" });
      expect(codeOf(again)).toBe("authority_conflict");
    });
    await using(await start(next), async (server) => {
      const before = await bundleOf(server);
      await done(server, { step: "prepare", kind: "root" });
      const after = await bundleOf(server);
      const published = after.x509Authorities.map(({ publicKey }) => slotIdOf(encodeSpki(publicKey)));
      expect(published).toContain(slotIdOf(kms.spkiOf(next)));
      const { successions } = successionList.parse(
        jsonOf(await send(server.url, { target: "/v1/successions" })),
      );
      const [pin, target] = [digestOfAuthorities(before), digestOfAuthorities(after)];
      expect(pin).not.toBe(target);
      requireSuccession(successions, { trustDomain, pin, target });
      await done(server, { step: "activate", kind: "root", force: true });
      await done(server, { step: "rotate", kind: "intermediate", force: true });
      await enrolAgent(server, await createOwner(server));
    });
  });
});

describe("a KMS that is away", () => {
  it("stops the first start, which leaves nothing half done", async () => {
    away();
    await expect(start()).rejects.toThrow(expect.objectContaining({ code: "signer_unavailable" }));
    kms.misbehave = undefined;
    await using(await start(), async (server) => {
      expect(await keysOf(server)).toHaveLength(3);
    });
  });

  it("stops what needs the root, and nothing else: agents enrol, the JWT key rotates, the server restarts", async () => {
    await using(await start(), async (server) => {
      away();
      const before = await keysOf(server);
      const refused = await step(server, { step: "rotate", kind: "intermediate", force: true });
      expect(refused.status).toBe(503);
      expect(codeOf(refused)).toBe("signer_unavailable");
      expect(refused.text).not.toContain("private-name");
      expect(await keysOf(server)).toEqual(before);
      await enrolAgent(server, await createOwner(server));
      await done(server, { step: "rotate", kind: "jwt", force: true });
    });
    await using(await start(), async (server) => {
      expect(await keyOf(server, "root", "active")).toBe(slotIdOf(kms.spkiOf(keyId)));
      kms.misbehave = undefined;
      await done(server, { step: "rotate", kind: "intermediate", force: true });
    });
  });

  it("does not hold up a revocation: the root's list follows when KMS is back", async () => {
    await using(await start(), async (server) => {
      const old = await keyOf(server, "intermediate", "active");
      await done(server, { step: "rotate", kind: "intermediate", force: true });
      away();
      await done(server, { step: "revoke", id: old });
      expect(await keyOf(server, "intermediate", "revoked")).toBe(old);
      expect((await listOf(server)).revoked).toEqual([]);
      kms.misbehave = undefined;
      await done(server, { step: "prepare", kind: "jwt" });
      expect((await listOf(server)).revoked).toHaveLength(1);
    });
  });
});

describe("secrets whose key-encryption key is in KMS", () => {
  const place = (key: string) => ({
    region: KMS_REGION,
    keyId: key,
    endpoint: kms.url,
    credentialsFile: join(folder, "aws"),
    timeoutMs: 2000,
  });
  const startWith = (use: "sealed" | "aws-kms", key: string) =>
    startTestServer({ secretKeys: { use, awsKms: place(key) } }, home);
  const post = (server: TestServer, target: string, body: object) =>
    sendAdmin(server.adminSocket, { method: "POST", target, body: JSON.stringify(body) });
  const plant = (server: TestServer, name: string) =>
    post(server, "/v1/secrets", { name, kind: "canary", value: `planted-${name}-value` });
  const rotate = async (server: TestServer) =>
    jsonOf(await post(server, "/v1/secret-keys/rotation", { begin: true, reason: "moving" }));

  it("are brought under it by a rotation, and are out of reach while it is away", async () => {
    const key = kms.addSymmetricKey();
    await using(await startWith("sealed", key), async (server) => {
      expect((await plant(server, "first")).status).toBe(200);
    });
    expect(kms.operations).toEqual([]);
    await using(await startWith("aws-kms", key), async (server) => {
      expect(await rotate(server)).toMatchObject({ remaining: 0, keys: [{ versions: 1, is_here: true }] });
      expect(kms.operations).toEqual(expect.arrayContaining(["DescribeKey", "Encrypt"]));
      away();
      const refused = await plant(server, "second");
      expect([refused.status, codeOf(refused)]).toEqual([503, "secret_unavailable"]);
      expect((await sendAdmin(server.adminSocket, { target: "/v1/secrets" })).text).not.toContain("second");
      kms.misbehave = undefined;
      expect((await plant(server, "second")).status).toBe(200);
    });
    expect(readdirSync(join(home.configDir, `${TRUST_DOMAIN}.secret-keys`))).toEqual([
      expect.stringMatching(/^kek_00000002_[0-9a-f]{16}\.ref$/),
    ]);
    away();
    await using(await startWith("aws-kms", key), async (server) => {
      expect((await sendAdmin(server.adminSocket, { target: "/v1/secrets" })).status).toBe(200);
    });
  });
});
