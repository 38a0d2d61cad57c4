/** Project Wycheproof's vectors (Apache-2.0, C2SP) against our verifiers: what they call invalid, we refuse. */
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { isP256Signature, parseP256Jwk, parseP256PublicKey } from "../crypto.ts";
import { TrustWardenError } from "../error.ts";
import { parseDerSignature } from "./certificate-signature.ts";
import { verifyJwtSvid } from "./jwt-svid.ts";
import { parseCompactJws } from "./jwt-svid-jws.ts";
import { parseTrustDomain } from "./spiffe-id.ts";
import { parseTrustBundle } from "./trust-bundle.ts";

const FOLDER = new URL("../../../shared/vectors/wycheproof/", import.meta.url);
const isThere = existsSync(FOLDER);
if (!isThere) console.warn("../shared/vectors/wycheproof is absent: the Wycheproof vectors were NOT run");

const jwk = z.record(z.string(), z.unknown());
const ecdsaFile = z.object({
  numberOfTests: z.number(),
  testGroups: z.array(
    z.object({
      publicKeyDer: z.string(),
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
const joseFile = z.object({
  numberOfTests: z.number(),
  testGroups: z.array(
    z.object({
      comment: z.string(),
      public: jwk.optional(),
      private: jwk.optional(),
      tests: z.array(
        z.object({ tcId: z.number(), jws: z.unknown(), result: z.enum(["valid", "invalid", "acceptable"]) }),
      ),
    }),
  ),
});

const load = <Shape extends z.ZodType>(name: string, shape: Shape) =>
  shape.parse(JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")));
const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

/** Whether the check passed; a refusal by one of our codes is a no, anything else is a bug. */
function holds(check: () => boolean): boolean {
  try {
    return check();
  } catch (error) {
    expect(error).toBeInstanceOf(TrustWardenError);
    return false;
  }
}

function runEcdsa(
  name: string,
  verify: (key: string, message: Uint8Array, signature: Uint8Array) => boolean,
): void {
  const { testGroups, numberOfTests } = load(name, ecdsaFile);
  let ran = 0;
  for (const { publicKeyDer, tests } of testGroups) {
    for (const { tcId, msg, sig, result } of tests) {
      const accepted = holds(() => verify(publicKeyDer, bytes(msg), bytes(sig)));
      if (result !== "acceptable") expect(accepted, `${name} ${tcId}`).toBe(result === "valid");
      ran += 1;
    }
  }
  expect(ran).toBe(numberOfTests);
}

describe.runIf(isThere)("Wycheproof", () => {
  it("ECDSA P-256 in r||s form: our verdict is theirs", () => {
    runEcdsa("ecdsa_secp256r1_sha256_p1363_test.json", (key, message, signature) =>
      isP256Signature(parseP256PublicKey(bytes(key)), message, signature),
    );
  });

  it("ECDSA P-256 in DER, as X.509 carries it: our verdict is theirs, BER refused", () => {
    runEcdsa("ecdsa_secp256r1_sha256_test.json", (key, message, signature) =>
      isP256Signature(parseP256PublicKey(bytes(key)), message, parseDerSignature(signature)),
    );
  });

  it("JWS: the strict verifier accepts no vector, since none of them is a JWT-SVID, and never crashes", () => {
    const { testGroups } = load("json_web_signature_test.json", joseFile);
    const trustDomain = parseTrustDomain("td");
    const bundles = new Map([[trustDomain, parseTrustBundle('{"keys":[]}', trustDomain)]]);
    const texts = testGroups.flatMap(({ tests }) =>
      tests.map(({ jws }) => (typeof jws === "string" ? jws : JSON.stringify(jws))),
    );
    expect(texts.length).toBeGreaterThan(300);
    for (const text of texts) {
      expect(() => verifyJwtSvid(text, { bundles, audience: "a", now: 0 })).toThrow(
        expect.objectContaining({ code: "svid_malformed" }),
      );
    }
  });

  it("JWS ES256: the strict parser and the signature check together agree with every P-256 vector", () => {
    const { testGroups } = load("json_web_signature_test.json", joseFile);
    let ran = 0;
    for (const { public: key, tests } of testGroups) {
      if (key?.crv !== "P-256" || key.use !== "sig") continue;
      for (const { tcId, jws, result } of tests) {
        const accepted = holds(() => {
          const { signingInput, signature } = parseCompactJws(String(jws));
          return isP256Signature(parseP256Jwk(key), signingInput, signature);
        });
        expect(accepted, `${tcId}`).toBe(result === "valid");
        ran += 1;
      }
    }
    expect(ran).toBe(39);
  });

  it("JWK: a bundle takes no key that a vector calls invalid, and of a mixed set only the public one", () => {
    const { testGroups } = load("json_web_key_test.json", joseFile);
    let ran = 0;
    for (const { comment, public: publicKey, private: privateKey, tests } of testGroups) {
      if (tests.some(({ result }) => result === "valid")) continue;
      const set = publicKey ?? privateKey ?? {};
      const keys: readonly z.infer<typeof jwk>[] = z.array(jwk).safeParse(set.keys).data ?? [set];
      // The vectors say "sig" where a bundle says "jwt-svid"; private members are left out as in a published set.
      const entries = keys.map(({ d: _, ...key }) => ({
        ...key,
        use: key.use === "sig" ? "jwt-svid" : key.use,
      }));
      const expected = comment === "jws_mixedSymmetryKeyset" ? 1 : 0;
      expect(jwtKeyCount(JSON.stringify({ keys: entries })), comment).toBe(expected);
      ran += 1;
    }
    expect(ran).toBeGreaterThan(15);
  });
});

/** How many JWT keys a bundle of the document has; none when it is refused. */
function jwtKeyCount(text: string): number {
  try {
    return parseTrustBundle(text, parseTrustDomain("td")).jwtAuthorities.size;
  } catch (error) {
    expect(error).toEqual(expect.objectContaining({ code: "bundle_malformed" }));
    return 0;
  }
}
