/** Project Wycheproof's Ed25519 vectors (Apache-2.0, C2SP) against the check under every checkpoint and promise. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { isEd25519Signature, parseEd25519PublicKey } from "../crypto.ts";

const FILE = new URL("../../../shared/vectors/wycheproof/ed25519_test.json", import.meta.url);
const isThere = existsSync(FILE);
if (!isThere) console.warn("../shared/vectors/wycheproof is absent: the Ed25519 vectors were NOT run");

const vectors = z.object({
  numberOfTests: z.number(),
  testGroups: z.array(
    z.object({
      publicKey: z.object({ pk: z.string() }),
      tests: z.array(
        z.object({
          tcId: z.number(),
          msg: z.string(),
          sig: z.string(),
          result: z.enum(["valid", "invalid", "acceptable"]),
        }),
      ),
    }),
  ),
});

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

describe.runIf(isThere)("Wycheproof", () => {
  it("39 Ed25519: our verdict is theirs on every vector, non-canonical S and truncations included", () => {
    const { testGroups, numberOfTests } = vectors.parse(JSON.parse(readFileSync(FILE, "utf8")));
    let ran = 0;
    for (const { publicKey, tests } of testGroups) {
      const key = parseEd25519PublicKey(bytes(publicKey.pk));
      for (const { tcId, msg, sig, result } of tests) {
        const accepted = isEd25519Signature(key, bytes(msg), bytes(sig));
        if (result !== "acceptable") expect(accepted, `${tcId}`).toBe(result === "valid");
        ran += 1;
      }
    }
    expect(ran).toBe(numberOfTests);
    expect(ran).toBeGreaterThan(100);
  });
});
