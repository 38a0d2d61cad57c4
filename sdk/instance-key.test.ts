/** Keys are used and never shown; identities of a process are found while they live. */
import { inspect } from "node:util";
import { formatThumbprint, isP256Signature } from "@trustwarden/core/crypto.ts";
import { describe, expect, it } from "vitest";
import { createInstanceKey } from "./instance-key.ts";
import { LiveIdentities } from "./live-identities.ts";
import { issueIdentity, NOW, SERVICE_ID } from "./support.test.helpers.ts";

const data = new TextEncoder().encode("data");

describe("an instance key", () => {
  it("signs with the key whose public half it shows", () => {
    const { signer, thumbprint } = createInstanceKey();
    expect(isP256Signature(signer.publicKey, data, signer.sign(data))).toBe(true);
    expect(formatThumbprint(signer.publicKey)).toBe(thumbprint);
  });

  it("is a new one each time", () => {
    expect(createInstanceKey().thumbprint).not.toBe(createInstanceKey().thumbprint);
  });

  it("shows no private key to a log, a serialiser or an inspector (D16)", () => {
    const { key, chain } = issueIdentity(SERVICE_ID);
    const options = key.createTlsOptions(chain);
    const d = privateScalar(options.key);
    const shown = [
      JSON.stringify({ key, options }),
      inspect(key, { depth: 9, showHidden: true }),
      inspect({ options }, { depth: 9 }),
      inspect(key.signer, { depth: 9, showHidden: true }),
      inspect(key.createTlsContext(chain), { depth: 9 }),
      String(key),
    ].join("\n");
    expect(shown).toContain(key.thumbprint);
    expect(shown).not.toContain("PRIVATE KEY");
    expect(shown).not.toContain(d);
  });
});

/** A line from the middle of the PEM, where the private scalar is. */
function privateScalar(pem: string): string {
  return pem.split("\n")[1]?.slice(20, 60) ?? "";
}

describe("the live identities of a process", () => {
  const identity = { id: "spiffe://acme.test/a/inst-1", expiresAt: NOW + 10 };
  const missing = expect.objectContaining({ code: "parent_proof_missing" });

  it("are found by id or by themselves until they end", () => {
    const live = new LiveIdentities<typeof identity>();
    live.add(identity, NOW);
    expect(live.get(identity.id, NOW + 9)).toBe(identity);
    expect(live.get(identity, NOW + 9)).toBe(identity);
    expect(() => live.get(identity, NOW + 10)).toThrow(missing);
  });

  it("do not include an id that is only text, nor one that was closed", () => {
    const live = new LiveIdentities<typeof identity>();
    expect(() => live.get(identity.id, NOW)).toThrow(missing);
    live.add(identity, NOW);
    live.remove(identity);
    expect(() => live.get(identity, NOW)).toThrow(missing);
  });

  it("are let go when they have ended, without being closed", () => {
    const live = new LiveIdentities<typeof identity>();
    live.add(identity, NOW);
    live.add({ ...identity, id: "spiffe://acme.test/a/inst-2" }, NOW + 10);
    expect(() => live.get(identity, NOW)).toThrow(missing);
  });
});
