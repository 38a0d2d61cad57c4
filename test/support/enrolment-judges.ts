/** Answers the questions about how agents come, as the TypeScript SDK does. */

import { issuePossession } from "@trustwarden/core/agentid/possession.ts";
import { workBitsOf } from "@trustwarden/core/agentid/registration-work.ts";
import { parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseTrustBundle } from "@trustwarden/core/agentid/trust-bundle.ts";
import { parseBase64 } from "@trustwarden/core/bytes.ts";
import type { Json, JsonObject } from "@trustwarden/core/json.ts";
import { z } from "zod";
import { digestOfWish, requireAsked, wishOf } from "../../sdk/claim.ts";
import { readGrant, readTicket } from "../../sdk/enrol.ts";
import { readRegistration } from "../../sdk/foreign-identity.ts";
import { formatRequest, issueGrantFor, parseRequest, requireTicketFor } from "../../sdk/grant.ts";
import { openDeliveredKey } from "../../sdk/instance-key.ts";
import { systemRuntime } from "../../sdk/runtime.ts";
import { openedBy } from "./opened-envelope.ts";

const text = z.object({ text: z.string() });
const bytes = z.string().transform((encoded) => parseBase64(encoded));
const limits = z.object({ depth: z.number(), fan_out: z.number(), budget: z.number().nullable() });
const ttl = z.string().nullable();
const wantedShape = z.object({
  name: z.string(),
  scope: z.array(z.string()),
  ttl,
  limits: limits.nullable(),
});
const wishShape = z.object({
  path: z.string(),
  name: z.string(),
  scope: z.array(z.string()),
  ttl,
  owner: z.string().nullable(),
});
const grantShape = z.object({
  wanted: wantedShape,
  thumbprint: z.string(),
  parent: z.object({ path: z.string(), spiffe_id: z.string(), limits }),
  key: bytes,
  svid_sha256: z.string(),
  server: z.string(),
  trust_domain: z.string(),
  bundle: z.string(),
});

/** By the name of the check. */
export const ENROLMENT_JUDGES: Readonly<Record<string, (input: unknown) => Json>> = {
  ticket: (input) => {
    const shape = text.extend({ name: z.string(), scope: z.array(z.string()).nullable(), ttl });
    const { text: ticket, name, scope, ttl: lifetime } = shape.parse(input);
    const { address, unverified } = readTicket(ticket);
    const asked = { name, ...(scope && { scope }), ...(lifetime && { ttl: lifetime }) };
    return { ...addressOf(address), scope: [...requireTicketFor(asked, unverified).scope] };
  },
  child_request: (input) => {
    const { child, thumbprint } = parseRequest(text.parse(input).text);
    const { depth = 0, fanOut = 0, budget = 0 } = child.limits ?? {};
    return {
      name: child.name,
      scope: [...child.scope],
      ttl: child.ttl ?? "",
      limits: { depth, fan_out: fanOut, budget },
      thumbprint,
    };
  },
  child_request_written: (input) => {
    const { thumbprint, ...wanted } = wantedShape.extend({ thumbprint: z.string() }).parse(input);
    return formatRequest(childOf(wanted), thumbprint).text;
  },
  grant: (input) => {
    const { address, envelope } = readGrant(text.parse(input).text);
    return { ...addressOf(address), grant: envelope };
  },
  grant_written: judgeGrant,
  registration: (input) => {
    const { value, address } = readRegistration(text.parse(input).text);
    const { trustDomain: _domain, ownerId: _owner, authoritiesSha256: _pin, ...rest } = value;
    return { ...rest, scope: [...rest.scope], chain: [...rest.chain], ...addressOf(address) };
  },
  claim_wish: (input) => digestOfWish(wishOf(wishIn(wishShape.parse(input)))),
  claimed_ticket: (input) => {
    const shape = z.object({
      wish: wishShape,
      owner_id: z.string(),
      thumbprint: z.string(),
      ticket: z.string(),
    });
    const { wish, thumbprint, ...claimed } = shape.parse(input);
    const { name, scope } = requireAsked(claimed, { wish: wishOf(wishIn(wish)), key: { thumbprint } });
    return { name, scope: [...scope] };
  },
  possession_written: (input) => {
    const shape = z.object({ key: bytes, nonce: z.string(), enrolment_sha256: z.string() });
    const { key, nonce, enrolment_sha256 } = shape.parse(input);
    const { signer } = openDeliveredKey(key).key;
    const { keyid, payload } = openedBy(
      issuePossession({ nonce, enrolmentSha256: enrolment_sha256 }, signer),
      "possession",
      signer.publicKey,
    );
    return { keyid, signed: payload };
  },
  work_bits: (input) => {
    const { possession, work } = z.object({ possession: z.string(), work: z.string() }).parse(input);
    return workBitsOf(possession, work);
  },
};

function judgeGrant(input: unknown): Json {
  const { wanted, thumbprint, parent, key, svid_sha256, server, trust_domain, bundle } =
    grantShape.parse(input);
  const { signer } = openDeliveredKey(key).key;
  const trustDomain = parseTrustDomain(trust_domain);
  const trusted = parseTrustBundle(bundle, trustDomain);
  const granted = issueGrantFor({
    child: childOf(wanted),
    thumbprint,
    parent,
    credential: { key: { signer }, svid: { leaf: { sha256: svid_sha256 } } },
    server: {
      trustDomain,
      address: { url: server, trustDomain, authoritiesSha256: "another set, of before" },
      bundle: trusted,
    },
    runtime: systemRuntime,
  });
  const { keyid, payload } = openedBy(granted.envelope, "grant", signer.publicKey);
  const { iat, exp, jti: _jti, ...signed } = payload;
  const { address, envelope } = readGrant(granted.text);
  if (envelope !== granted.envelope) throw new Error("the text has another grant");
  const { server: url, authorities_sha256 } = addressOf(address);
  return { lasts: Number(exp) - Number(iat), keyid, server: url, authorities_sha256, signed };
}

function childOf({ name, scope, ttl: lifetime, limits: wished }: z.infer<typeof wantedShape>) {
  const { depth = 0, fan_out = 0, budget = 0 } = wished ?? {};
  return {
    name,
    scope,
    ...(lifetime !== null && { ttl: lifetime }),
    ...(wished !== null && { limits: { depth, fanOut: fan_out, budget } }),
  };
}

function wishIn({ ttl: lifetime, owner, ...rest }: z.infer<typeof wishShape>) {
  return { ...rest, ...(lifetime !== null && { ttl: lifetime }), ...(owner !== null && { owner }) };
}

function addressOf({
  url,
  authoritiesSha256,
  trustDomain,
}: {
  readonly url: string;
  readonly authoritiesSha256: string;
  readonly trustDomain: string;
}) {
  return {
    server: url,
    authorities_sha256: authoritiesSha256,
    trust_domain: trustDomain,
  } satisfies JsonObject;
}
