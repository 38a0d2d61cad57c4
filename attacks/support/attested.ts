/** Workloads that prove by evidence what they are, and the entries that make agents of them. */
import { randomBytes } from "node:crypto";
import { digestOfEvidence, formatOwnerKeyid } from "@trustwarden/core/agentid/enrolment.ts";
import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { issueRegistrationEntry } from "@trustwarden/core/agentid/registration-entry.ts";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import type { JsonObject } from "@trustwarden/core/json.ts";
import { parseScope, type Scope } from "@trustwarden/core/scope.ts";
import { nonceOf } from "../../test/support/actors.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { TRUST_DOMAIN } from "../../test/support/server.ts";
import { call } from "./client.ts";
import { callAsOwner } from "./visits.ts";
import type { World } from "./world.ts";

/** Whom evidence must be made for. */
export const AUDIENCE = `spiffe://${TRUST_DOMAIN}`;

/** What an entry's agents may do and hand on. */
export interface ParentOfMany {
  readonly scope: Scope;
  readonly depth: number;
  readonly fanOut: number;
}

/** Registers that workloads with these selectors are an agent; its name. */
export async function registerEntry(
  world: World,
  selectors: readonly string[],
  { scope = parseScope(["read:transactions"]), depth = 0, fanOut = 0 }: Partial<ParentOfMany> = {},
): Promise<string> {
  const owner = await world.owner();
  const now = Math.floor(Date.now() / 1000);
  const name = world.name("attested");
  const entry = issueRegistrationEntry(
    {
      v: 1,
      kind: "agent",
      jti: formatUlid(Date.now(), (length) => new Uint8Array(randomBytes(length))),
      aud: AUDIENCE,
      iat: now,
      exp: now + 3600,
      owner: owner.ownerId,
      path: "team/finance",
      name,
      scope,
      ttl_seconds: 600,
      limits: { depth, fan_out: fanOut, budget: null },
      selectors,
      nodes: ["*"],
      hint: "",
    },
    owner.signer,
    formatOwnerKeyid(owner.signer.publicKey),
  );
  const answer = await callAsOwner(world, {
    method: "POST",
    target: "/v1/entries",
    body: JSON.stringify({ entry }),
  });
  if (answer.status !== 200) throw new Error(`no entry: ${answer.text}`);
  return name;
}

/** What an attacker may bend. */
export interface AttestedOptions {
  readonly from?: string | undefined;
  /** Members beside the honest ones, or in their place. */
  readonly body?: object;
}

/** Asks for an instance with evidence, for a new key that the caller holds. */
export async function enrolByEvidence(
  world: World,
  evidence: unknown,
  { from, body = {} }: AttestedOptions = {},
): Promise<RawAnswer> {
  const signer = createTestSigner();
  const nonce = await nonceOf(world.server);
  const enrolmentSha256 = digestOfEvidence(asObject(evidence));
  const possession = issuePossession({ nonce, enrolmentSha256 }, signer);
  const spki = encodeBase64url(encodeSpki(signer.publicKey));
  return call(
    world.server.url,
    {
      method: "POST",
      target: "/v1/attested-instances",
      body: JSON.stringify({ entry_id: null, evidence, spki, possession, ...body }),
    },
    { from },
  );
}

/** Odd evidence has no digest of its own; the proof for it is then for something else, and the schema comes first. */
function asObject(evidence: unknown): JsonObject {
  const json = JSON.parse(JSON.stringify(evidence ?? null));
  return typeof json === "object" && json !== null && !Array.isArray(json) ? json : {};
}
