/** A broker over a store in memory whose commands run as the writer runs them, with agents and a clock to move. */

import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonObject } from "@trustwarden/core/json.ts";
import type { AgentPrincipal } from "@trustwarden/core/principal.ts";
import { createSafeFetch } from "../attest/safe-fetch.ts";
import { KeyEncryptionKeys } from "../signer/key-encryption.ts";
import { createPrivateKeyPkcs8, createSoftwareSigner } from "../signer/software.ts";
import { UnsealKey } from "../signer/unseal-key.ts";
import type { SecretState } from "../store/broker-ports.ts";
import {
  contextAt,
  createTestStore,
  NOW_MS,
  type TestIdentity,
} from "../store/commands/fixture.test.support.ts";
import type { ControlDraft } from "../store/ports.ts";
import { createReads } from "../store/reads.ts";
import { SecretsBroker } from "./broker.ts";
import type { SecretUse } from "./ports.ts";
import { parseSettings } from "./settings.ts";

export const VALUE = "sk-live-Zx81/plk+09";
const ORIGIN = "https://api.example.test";
const DEPLOYMENT = "spiffe://acme.test/trustwarden/server/01J0000000000000000000000A";

export type TestBroker = ReturnType<typeof createTestBroker>;

/** Settings that let agents below `team` use a secret at one upstream, as a bearer token. */
export function settingsOf(overrides: JsonObject = {}): JsonObject {
  return {
    upstreams: [{ name: "model", origin: ORIGIN }],
    agents: ["agent:team/**"],
    injection: { as: "header", name: "authorization", template: "Bearer {secret}" },
    source: {},
    ...overrides,
  };
}

export function createTestBroker() {
  const directory = mkdtempSync(join(tmpdir(), "tw-kek-"));
  const store = createTestStore();
  const clock = { nowMs: NOW_MS };
  const records: { readonly draft: ControlDraft; readonly principal: string }[] = [];
  const events: string[] = [];
  const unsealKey = new UnsealKey(randomBytes(32), randomBytes);
  const keys = new KeyEncryptionKeys({
    ...{ directory: join(directory, "keys"), unsealKey, random: randomBytes },
    ...{ custody: "sealed", token: null, kms: null },
  });
  const reads = createReads(store.database, () => clock.nowMs / 1000);
  const deps = {
    reads,
    commands: {
      changeSecret: async (command: Parameters<SecretsBrokerCommands["changeSecret"]>[0]) =>
        store.run<SecretState | null>({ kind: "changeSecret", command }),
    },
    keys,
    random: randomBytes,
    trustDomain: "acme.test",
    deployment: () => DEPLOYMENT,
    settle: async ({ entries }: { readonly entries: readonly Uint8Array[] }) => {
      events.push(...entries.map((entry) => Buffer.from(entry).toString()));
    },
    record: async (draft: ControlDraft, { principal }: { readonly principal: string }) => {
      records.push({ draft, principal });
    },
    context: () => contextAt(clock.nowMs),
    nowMs: () => clock.nowMs,
    monoMs: () => clock.nowMs,
    issueJwt: async (instanceId: string, audience: string) => `jwt-svid.of.${instanceId}.for.${audience}`,
    openFetch: createSafeFetch,
    createKey: () => createSoftwareSigner(createPrivateKeyPkcs8("ES256")),
    payloads: { keyId: () => null, rewrap: async () => undefined },
    warn: () => undefined,
  };
  const broker = new SecretsBroker(deps);
  const order = () => ({ context: contextAt(clock.nowMs), reason: "test" });
  return {
    broker,
    deps,
    store,
    clock,
    keys,
    records,
    /** Envelopes of the commands' events, as text. */
    events,
    order,
    /** Puts a secret of the settings above. */
    put: (name: string, value = VALUE, settings: JsonObject = settingsOf()) =>
      broker.administration.put(
        { name, kind: "static", settings: parseSettings(settings, "static"), value },
        order(),
      ),
    plant: (name: string, value: string) =>
      broker.administration.put(
        {
          name,
          kind: "canary",
          settings: parseSettings({ upstreams: [], agents: [], injection: null, source: {} }, "canary"),
          value,
        },
        order(),
      ),
    agent: (path = "team", name = "worker") =>
      principalOf(store.root(store.owner(`owner-${name}`), { path, name })),
    close: () => {
      broker.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

type SecretsBrokerCommands = ConstructorParameters<typeof SecretsBroker>[0]["commands"];

/** The use that is allowed, of an agent. */
export function useOf(agent: AgentPrincipal, overrides: Partial<SecretUse> = {}): SecretUse {
  const eventId = "018f0000-0000-7000-8000-000000000001";
  return {
    secret: "model-key",
    upstream: "model",
    origin: ORIGIN,
    agent,
    eventId,
    peer: "127.0.0.1",
    ...overrides,
  };
}

export function principalOf({ identity, instanceId, svidSha256 }: TestIdentity): AgentPrincipal {
  const agentId = identity.agentId ?? "";
  return {
    kind: "agent",
    spiffeId: identity.spiffeId,
    agentId,
    instanceId,
    ownerId: identity.ownerId ?? "",
    svidSha256,
    custody: "agent",
    attested: { type: "none", strength: "none", selectors: [], compositionSha256: null },
    chain: [{ agentId, instanceId, spiffeId: identity.spiffeId, scope: identity.scope }],
  };
}
