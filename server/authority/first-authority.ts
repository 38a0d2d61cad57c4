/**
 * The authority that a trust domain begins with, made with the data directory's other keys and kept beside them until
 * the state store has it: a first start that is interrupted goes on with the same one.
 */
import {
  type AuthoritySlot,
  foundSlots,
  type NewSlot,
  newCertificateSlot,
  newTokenSlot,
} from "@trustwarden/core/agentid/authority-slots.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { parseCaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { encodeBase64, encodeUtf8, parseBase64, parseUtf8 } from "@trustwarden/core/bytes.ts";
import { Fields } from "@trustwarden/core/fields.ts";
import { formatCanonicalJson, type JsonObject, parseJsonObject } from "@trustwarden/core/json.ts";
import { type Making, makeIntermediateSlot, makeRootSlot, makeSlot } from "./certificates.ts";

const MAX_CHARS = 65_536;
const KINDS = ["root", "intermediate", "jwt"] as const;

/** A root, an intermediate under it and a JWT key, all active. */
export async function makeFirstAuthority(making: Making): Promise<readonly AuthoritySlot[]> {
  const root = await makeRootSlot(making);
  const certificate = parseCaCertificate(root.certificate ?? new Uint8Array(), making.trustDomain);
  const issuer = { certificate, signer: () => making.ring.rootSigner(root) };
  const intermediate = await makeIntermediateSlot(making, issuer);
  const jwt = await makeSlot(making, "jwt", () => issuer);
  return foundSlots([root, intermediate, jwt], making.now);
}

/** The document of `parseFirstAuthority`. */
export function encodeFirstAuthority(slots: readonly AuthoritySlot[]): Uint8Array {
  const [root] = slots;
  return encodeUtf8(
    formatCanonicalJson({
      v: 1,
      founded_at: root?.preparedAt ?? 0,
      ...Object.fromEntries(slots.map((slot) => [slot.kind, formatSlot(slot)])),
    }),
  );
}

/** @throws TrustWardenError `config_invalid`, `svid_malformed` or `svid_untrusted`. */
export function parseFirstAuthority(bytes: Uint8Array, trustDomain: TrustDomain): readonly AuthoritySlot[] {
  const fields = new Fields(parseJsonObject(parseUtf8(bytes), MAX_CHARS), "config_invalid");
  fields.version();
  const foundedAt = fields.integer("founded_at");
  const [root, intermediate, jwt] = KINDS.map((kind) => fields.object(kind));
  if (root === undefined || intermediate === undefined || jwt === undefined) return fields.refuse("root");
  fields.end();
  const ca = parseCaCertificate(parseBase64(root.text("der")), trustDomain);
  const below = parseCaCertificate(parseBase64(intermediate.text("der")), trustDomain);
  const slots: readonly NewSlot[] = [
    newCertificateSlot(ca, { ...placeIn(root), issuer: null }),
    newCertificateSlot(below, { ...placeIn(intermediate), issuer: ca }),
    newTokenSlot("jwt", parseBase64(jwt.text("der")), placeIn(jwt)),
  ];
  for (const each of [root, intermediate, jwt]) each.end();
  return foundSlots(slots, foundedAt);
}

function formatSlot({ certificate, spki, custody, keyRef }: AuthoritySlot): JsonObject {
  return { der: encodeBase64(certificate ?? spki), custody, key_ref: keyRef };
}

function placeIn(fields: Fields): Pick<AuthoritySlot, "custody" | "keyRef"> {
  return {
    custody: fields.oneOf("custody", ["sealed", "pkcs11", "aws-kms"]),
    keyRef: fields.textOrNull("key_ref"),
  };
}
