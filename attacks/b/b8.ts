/** B8: keys that are weak, or used. */
import { createPublicKey, ECDH, generateKeyPairSync } from "node:crypto";
import { encodeBase64url } from "@trustwarden/core/bytes.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { ticketOf } from "../../test/support/actors.ts";
import { createTestSigner } from "../../test/support/keys.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectRefusal } from "../support/client.ts";
import { P256_ALGORITHM, rsaSpki, spkiOf } from "../support/der.ts";
import { enrolWith, revoke } from "../support/visits.ts";

/** Keys that nobody should certify. */
function weakKeys(honest: Uint8Array): Readonly<Record<string, Uint8Array>> {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey;
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey;
  const ed25519 = generateKeyPairSync("ed25519").publicKey;
  const point = honest.subarray(-65);
  return {
    "RSA of 1024 bits": rsa.export({ type: "spki", format: "der" }),
    "RSA with exponent 1": rsaSpki(2048, 1),
    "P-384": p384.export({ type: "spki", format: "der" }),
    Ed25519: ed25519.export({ type: "spki", format: "der" }),
    "a point off the curve": spkiOf(P256_ALGORITHM, Buffer.concat([Uint8Array.of(4), Buffer.alloc(64, 7)])),
    "the point at infinity": spkiOf(P256_ALGORITHM, Uint8Array.of(0)),
    "the same point, compressed": spkiOf(P256_ALGORITHM, compress(point)),
    "the same point, hybrid": spkiOf(
      P256_ALGORITHM,
      Buffer.concat([Uint8Array.of(6 + ((point[64] ?? 0) & 1)), point.subarray(1)]),
    ),
    "the same key, with a byte behind": Buffer.concat([honest, Uint8Array.of(0)]),
  };
}

function compress(point: Uint8Array): Uint8Array {
  const compressed = ECDH.convertKey(point, "prime256v1", undefined, undefined, "compressed");
  return typeof compressed === "string" ? Buffer.from(compressed, "hex") : compressed;
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "B8",
  title: "brings weak keys, a point off the curve, and keys that somebody has or had, revoked ones included",
  expected: "weak keys are refused, and a key is certified once and never again",
  weakening: "key-used-again",
  prepare: async (world) => {
    const revoked = await world.enrol(["read:transactions"]);
    expectSame((await revoke(world, "instance", revoked.answer.instance_id)).status, 200, "the revocation");
    return {
      owner: await world.owner(),
      agent: await world.enrol(["read:transactions"]),
      verifier: await world.enrolVerifier(),
      revoked,
      from: world.source(),
    };
  },
  control: async (world, { owner }) => {
    const answer = await enrolWith(world, ticketOf(owner, { name: world.name("honest") }), {
      signer: createTestSigner(),
    });
    expectSame(answer.status, 200, "a fresh P-256 key is certified");
  },
  attack: async (world, { owner, agent, verifier, revoked, from }) => {
    const signer = createTestSigner();
    const honest = encodeSpki(createPublicKey(signer.privateKey));
    for (const [what, spki] of Object.entries(weakKeys(honest))) {
      const ticket = ticketOf(owner, { name: world.name("weak") });
      const answer = await enrolWith(world, ticket, { signer, from, body: { spki: encodeBase64url(spki) } });
      expectRefusal(answer, { status: 400, code: "public_key_refused" }, what);
    }
    const used = { agent, verifier, revoked, owner };
    for (const [whose, holder] of Object.entries(used)) {
      const ticket = ticketOf(owner, { name: world.name("again") });
      const answer = await enrolWith(world, ticket, { signer: holder.signer, from });
      expectRefusal(answer, { status: 409, code: "key_reused" }, `the key of the ${whose}`);
    }
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", principal: /^enrollee:/, reason: "key_reused" }, 4);
    await ledger.expect({ kind: "issue" }, 0);
  },
});
