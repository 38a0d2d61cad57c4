/**
 * JWT-SVIDs in the SDK's source: the cases of the client suite's catalogue (`JV`, `JB`, `JF`, `ID`), by the standard's words.
 *
 * @see JWT-SVID §2 to §6; SPIFFE_Workload_API.md §4.4, §6.2, §6.3; SPIFFE_Trust_Domain_and_Bundle.md §4
 */
import { createHmac, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { createJwtSource } from "trustwarden";
import { afterEach, describe, expect, it } from "vitest";
import { valueOrCode } from "./support/expect-code.ts";
import { jwtBundles, openScriptedEndpoint, runtime } from "./support/scripted-endpoint.ts";

type Members = Readonly<Record<string, unknown>>;
type Pair = { readonly privateKey: KeyObject; readonly publicKey: KeyObject };

const now = Math.floor(Date.now() / 1000);
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ed25519 = generateKeyPairSync("ed25519");
const ec = (namedCurve: string) => generateKeyPairSync("ec", { namedCurve });
const [es256, es384, es512, second, third, foreign] = [
  ...["P-256", "P-384", "P-521", "P-256", "P-256", "P-256"].map(ec),
];
const closers: (() => void)[] = [];

afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const jwk = ({ publicKey }: Pair = rsa, kid: string, more: Members = {}) => ({
  ...publicKey.export({ format: "jwk" }),
  kid,
  ...more,
});
const OURS = [
  jwk(es256, "es256"),
  jwk(es384, "es384"),
  jwk(es512, "es512"),
  jwk(rsa, "rsa"),
  jwk(ed25519, "ed"),
];

/** A token of these parts, signed as its `alg` says; undefined members are left out. */
function token(header: Members = {}, claims: Members = {}, pair: Pair | undefined = es256): string {
  const alg = String(header.alg ?? "ES256");
  const parts = [
    { alg: "ES256", kid: "es256", typ: "JWT", ...header },
    { sub: "spiffe://ours.test/team/a", aud: ["conformance"], exp: now + 300, ...claims },
  ].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
  const data = Buffer.from(parts.join("."));
  const { privateKey: key } = pair ?? rsa;
  const padding = alg.startsWith("PS") ? { padding: 6, saltLength: Number(alg.slice(2)) / 8 } : {};
  const signature = alg.startsWith("HS")
    ? createHmac(`sha${alg.slice(2)}`, (pair ?? rsa).publicKey.export({ type: "spki", format: "pem" }))
        .update(data)
        .digest()
    : sign(alg === "EdDSA" ? null : `sha${/\d{3}/.exec(alg)?.[0] ?? "256"}`, data, {
        key,
        dsaEncoding: "ieee-p1363",
        ...padding,
      });
  return `${data}.${alg === "none" ? "" : signature.toString("base64url")}`;
}

async function open(bundles: Members = jwtBundles({ "ours.test": OURS, "fed.test": [jwk(foreign, "fed")] })) {
  const endpoint = await openScriptedEndpoint();
  endpoint.push("FetchJWTBundles", bundles);
  const source = await createJwtSource({ socket: endpoint.socket, runtime });
  closers.push(() => source.close(), endpoint.close);
  const verify = (svid: string) => valueOrCode(() => source.verify({ svid, audience: "conformance" }).id);
  return { endpoint, source, verify };
}

const ID = "spiffe://ours.test/team/a";
const flip = (text: string, part: number) =>
  text
    .split(".")
    .map((one, index) => {
      if (index !== part) return one;
      const bytes = Buffer.from(one, "base64url");
      bytes[9] = (bytes[9] ?? 0) ^ 1;
      return bytes.toString("base64url");
    })
    .join(".");

describe("JV: tokens that are valid", () => {
  const tokens: Readonly<Record<string, string>> = {
    "JV-1 as they are made": token(),
    "JV-2 by ES256": token({ alg: "ES256", kid: "es256" }),
    "JV-2 by ES384": token({ alg: "ES384", kid: "es384" }, {}, es384),
    "JV-2 by ES512": token({ alg: "ES512", kid: "es512" }, {}, es512),
    ...Object.fromEntries(
      ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map((alg) => [
        `JV-2 by ${alg}`,
        token({ alg, kid: "rsa" }, {}, rsa),
      ]),
    ),
    "JV-9 for us among others": token({}, { aud: ["other", "conformance"] }),
    "JV-10 with one audience as text": token({}, { aud: "conformance" }),
    "JV-20 with typ JOSE": token({ typ: "JOSE" }),
    "JV-20 without typ": token({ typ: undefined }),
    "JV-22 without kid": token({ kid: undefined }),
    "JV-22 without kid, by another kind of key": token({ alg: "PS256", kid: undefined }, {}, rsa),
  };
  it("are all proven, and say whose they are", async () => {
    const { verify } = await open();
    const verdicts = Object.entries(tokens).map(([name, text]) => [name, verify(text)]);
    expect(verdicts).toEqual(Object.keys(tokens).map((name) => [name, ID]));
  });
});

describe("JV: tokens that are not", () => {
  const json = (text: string) => {
    const [protectedHeader, payload, signature] = text.split(".");
    return JSON.stringify({ payload, signatures: [{ protected: protectedHeader, signature }] });
  };
  const malformed: Readonly<Record<string, string>> = {
    "JV-3 alg none": token({ alg: "none" }),
    "JV-3 alg none with a signature": `${token({ alg: "none" })}AAAA`,
    "JV-4 HS256": token({ alg: "HS256" }),
    "JV-4 HS384": token({ alg: "HS384" }),
    "JV-4 HS512 of the RSA key": token({ alg: "HS512", kid: "rsa" }, {}, rsa),
    "JV-5 EdDSA by a key of the bundle": token({ alg: "EdDSA", kid: "ed" }, {}, ed25519),
    "JV-7 without an audience": token({}, { aud: undefined }),
    "JV-11 without an end": token({}, { exp: undefined }),
    "JV-19 of somebody who is no workload": token({}, { sub: "alice" }),
    "JV-21 of another typ": token({ typ: "at+jwt" }),
    "JV-23 with crit": token({ crit: ["exp"] }),
    "JV-24 in JSON": json(token()),
    "JV-25 of two parts": token().split(".").slice(0, 2).join("."),
    "JV-25 of four parts": `${token()}.AAAA`,
    "JV-25 with padding": `${token()}=`,
    "JV-25 with a header that is no JSON": `AAAA.${token().split(".").slice(1).join(".")}`,
    "JV-25 of nothing": "",
  };
  const refused: readonly (readonly [string, string, string])[] = [
    ...Object.entries(malformed).map(([name, text]) => [name, text, "svid_malformed"] as const),
    ["JV-6 RS256 with the kid of an EC key", token({ alg: "RS256" }, {}, rsa), "svid_untrusted"],
    ["JV-6 ES384 with a P-256 key", token({ alg: "ES384" }), "svid_untrusted"],
    ["JV-8 for somebody else", token({}, { aud: ["other"] }), "svid_audience"],
    ["JV-12 expired", token({}, { exp: now - 300 }), "svid_expired"],
    ["JV-13 from the future", token({}, { nbf: now + 200 }), "svid_not_yet_valid"],
    ["JV-14 with another signature", flip(token(), 2), "svid_untrusted"],
    ["JV-15 with other claims", swapSubject(token()), "svid_untrusted"],
    ["JV-16 by a key that nobody knows", token({ kid: "nobody" }), "svid_untrusted"],
    ["JV-16 by another key under a known name", token({}, {}, second), "svid_untrusted"],
    ["JV-17 of another trust domain by our key", token({}, { sub: "spiffe://fed.test/x" }), "svid_untrusted"],
    [
      "JV-17 the same without kid",
      token({ kid: undefined }, { sub: "spiffe://fed.test/x" }),
      "svid_untrusted",
    ],
    [
      "JV-18 of a trust domain without a bundle",
      token({}, { sub: "spiffe://third.test/x" }),
      "trust_domain_unknown",
    ],
  ];
  it("are all refused, each by its code, beside one that is proven", async () => {
    const { verify } = await open();
    expect(refused.map(([name, text]) => [name, verify(text)])).toEqual(
      refused.map(([name, _text, expected]) => [name, expected]),
    );
    expect(verify(token())).toBe(ID);
  });

  it("ID-1 a subject that is no SPIFFE ID is refused, and ID-2 odd ones that are one are not", async () => {
    const bad = ["spiffe:///a", "spiffe://ours.test:80/a", "spiffe://u@ours.test/a"].concat(
      ["?x=1", "#f", "/%41", "/a//b", "/a/./b", "/a/../b", "/a/", "/a!b", ""].map(
        (end) => `spiffe://ours.test${end}`,
      ),
      "spiffe://ou$rs.test/a",
    );
    const good = [
      "spiffe://ours.test/A.b-_C/...",
      "spiffe://10.0.0.1/a",
      "spiffe://td_1/a",
      `spiffe://ours.test/${"a".repeat(2048 - "spiffe://ours.test/".length)}`,
    ];
    const { verify } = await open(
      jwtBundles({ "ours.test": OURS, "10.0.0.1": [jwk(es256, "es256")], td_1: [jwk(es256, "es256")] }),
    );
    expect(bad.map((sub) => verify(token({}, { sub })))).toEqual(bad.map(() => "svid_malformed"));
    expect(good.map((sub) => verify(token({}, { sub })))).toEqual(good);
  });
});

describe("JB: bundles of keys", () => {
  it("JB-1 takes a key as soon as it is there, JB-2 drops one that is gone, JB-7 all of them, JB-3 a whole bundle", async () => {
    const { endpoint, verify } = await open(jwtBundles({ "ours.test": [jwk(es256, "es256")] }));
    const renewed = token({ kid: "second" }, {}, second);
    expect([verify(token()), verify(renewed)]).toEqual([ID, "svid_untrusted"]);
    endpoint.push(
      "FetchJWTBundles",
      jwtBundles({ "ours.test": [jwk(es256, "es256"), jwk(second, "second")] }),
    );
    await expect.poll(() => [verify(token()), verify(renewed)]).toEqual([ID, ID]);
    endpoint.push("FetchJWTBundles", jwtBundles({ "ours.test": [jwk(second, "second")] }));
    await expect.poll(() => [verify(token()), verify(renewed)]).toEqual(["svid_untrusted", ID]);
    endpoint.push("FetchJWTBundles", jwtBundles({ "ours.test": [] }));
    await expect.poll(() => verify(renewed)).toBe("svid_untrusted");
    endpoint.push("FetchJWTBundles", jwtBundles({ "fed.test": [jwk(foreign, "fed")] }));
    await expect.poll(() => verify(renewed)).toBe("trust_domain_unknown");
    endpoint.fail("FetchJWTBundles", 7, 1);
    await expect.poll(() => verify(renewed)).toBe("no_identity");
    endpoint.push("FetchJWTBundles", jwtBundles({ "ours.test": [jwk(second, "second")] }));
    await expect.poll(() => verify(renewed)).toBe(ID);
  });

  it("JB-4 finds the key by its name, JB-8 in the bundle of the subject's own trust domain", async () => {
    const keys = [jwk(es256, "es256"), jwk(second, "second"), jwk(third, "third")];
    const { verify } = await open(jwtBundles({ "ours.test": keys, "fed.test": [jwk(foreign, "second")] }));
    expect(verify(token({ kid: "second" }, {}, second))).toBe(ID);
    expect(verify(token({ kid: "third" }, {}, second))).toBe("svid_untrusted");
    const theirs = { sub: "spiffe://fed.test/x" };
    expect(verify(token({ kid: "second" }, theirs, foreign))).toBe("spiffe://fed.test/x");
    expect(verify(token({ kid: "second" }, theirs, second))).toBe("svid_untrusted");
  });

  it("JB-5 ignores keys for another use, JB-6 of an unknown kind, and keeps the rest", async () => {
    const keys = [
      jwk(second, "x509", { use: "x509-svid" }),
      jwk(third, "named", { use: "jwt-svid" }),
      { kty: "future", kid: "future" },
      { kty: "oct", k: "AAAA", kid: "oct" },
      jwk(es256, "es256"),
    ];
    const { verify } = await open(jwtBundles({ "ours.test": keys }));
    expect(verify(token({ kid: "x509" }, {}, second))).toBe("svid_untrusted");
    expect(verify(token({ kid: "named" }, {}, third))).toBe(ID);
    expect(verify(token())).toBe(ID);
    // Here a key without `use` counts: the Workload API asks for a standard JWK Set (§6.2.2), and its servers write none.
    expect(verify(token({ kid: undefined }))).toBe(ID);
  });
});

describe("JF: tokens of one's own", () => {
  it("JF-1 and JF-2 asks for each audience, JF-3 for one identity, and hands on the endpoint's token", async () => {
    const { endpoint, source } = await open();
    const audience = ["https://a.test", "https://b.test"] as const;
    const svid = token({}, { aud: audience });
    endpoint.push("FetchJWTSVID", { svids: [{ spiffe_id: ID, svid, hint: "" }] });
    const [found] = await source.fetch({ audience });
    expect(found).toMatchObject({ spiffeId: ID, svid });
    const { id } = source.verify({ svid, audience: "https://b.test" });
    await source.fetch({ audience, spiffeId: id });
    const requests = endpoint.calls
      .filter(({ method }) => method === "FetchJWTSVID")
      .map(({ request }) => request);
    expect(requests).toEqual([
      expect.objectContaining({ audience }),
      expect.objectContaining({ audience, spiffe_id: ID }),
    ]);
    // JF-4: a refusal is told, and no earlier token stands in for it.
    endpoint.fail("FetchJWTSVID", 7);
    await expect(source.fetch({ audience })).rejects.toMatchObject({ code: "no_identity" });
  });
});

function swapSubject(text: string): string {
  const [header, payload = "", signature] = text.split(".");
  const claims = Buffer.from(payload, "base64url").toString("utf8").replace("team/a", "team/b");
  return [header, Buffer.from(claims).toString("base64url"), signature].join(".");
}
