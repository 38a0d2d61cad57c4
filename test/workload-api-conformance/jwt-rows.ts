/** The JWT profile as a black box shows it: tokens, their bundles, and what `ValidateJWTSVID` lets pass. */
import { createHmac, createPublicKey, generateKeyPairSync, type webcrypto } from "node:crypto";
import { decodeProtectedHeader, type JWTPayload, jwtVerify, SignJWT } from "jose";
import {
  firstMessage,
  jwtSvidRequest,
  parseJwtSvids,
  parseValidated,
  startMethod,
  type TokenSvid,
  type Validated,
  validateRequest,
} from "./api.ts";
import type { Connection, Ending } from "./grpc.ts";
import {
  type Bench,
  describeEnding,
  Failed,
  type Level,
  NotSeen,
  type Row,
  requireStatus,
  requireThat,
} from "./row.ts";
import { domainOf, isSpiffeId } from "./x509-rows.ts";

const AUDIENCE = "spiffe://conformance.test/audience";
const ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];
const AUDIENCE_TEXT = "audience must be specified";
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/** Fetches tokens, or how that ended. */
async function fetchTokens(
  bench: Bench,
  connection: Connection,
  request: Uint8Array,
): Promise<{ readonly svids: readonly TokenSvid[]; readonly ending: Ending | null }> {
  const call = startMethod(connection, "FetchJWTSVID", { request });
  const message = await call.next(0, bench.patienceMs);
  const ending = await call.ending;
  return message === null ? { svids: [], ending } : { svids: parseJwtSvids(message), ending: null };
}

async function requireToken(bench: Bench, connection: Connection, audience = [AUDIENCE]): Promise<TokenSvid> {
  const { svids, ending } = await fetchTokens(bench, connection, jwtSvidRequest(audience));
  const [first] = svids;
  if (first === undefined) throw new Failed(ending ? describeEnding(ending) : "no token");
  return first;
}

interface Jwk extends webcrypto.JsonWebKey {
  readonly kid?: string;
  readonly use?: string;
}

function ownKeys({ snapshot }: Bench): readonly Jwk[] {
  const text = Buffer.from(snapshot.jwtBundles.get(snapshot.ownDomain) ?? []).toString("utf8");
  const parsed: { readonly keys?: unknown } = JSON.parse(text);
  requireThat(Array.isArray(parsed.keys), "the bundle has no `keys`");
  return parsed.keys;
}

/** The verified token; the key is found by `kid` in the endpoint's own bundle. */
async function verifyToken(bench: Bench, { svid }: TokenSvid): Promise<JWTPayload> {
  const { kid } = decodeProtectedHeader(svid);
  const jwk = ownKeys(bench).find((key) => key.kid === kid);
  requireThat(jwk !== undefined, `no key ${kid} in the own bundle`);
  const { payload } = await jwtVerify(svid, createPublicKey({ key: jwk, format: "jwk" }), {
    algorithms: ALGORITHMS,
  });
  return payload;
}

/** Fetches with that request and wants a refusal. */
function refusesFetch(
  id: string,
  {
    level,
    text,
    request,
    status,
  }: {
    readonly level: Level;
    readonly text: string;
    readonly request: (bench: Bench) => Uint8Array;
    readonly status: "invalidArgument" | "permissionDenied";
  },
): Row {
  return {
    id,
    level,
    text,
    check: (bench) =>
      bench.using(async (connection) =>
        requireStatus((await fetchTokens(bench, connection, request(bench))).ending, status),
      ),
  };
}

const fetchRows: readonly Row[] = [
  {
    id: "A-11a",
    level: "M",
    text: "FetchJWTSVID without an id answers for every identity, in the order of FetchX509SVID",
    check: (bench) =>
      bench.using(async (connection) => {
        const { svids, ending } = await fetchTokens(bench, connection, jwtSvidRequest([AUDIENCE]));
        requireThat(ending === null, ending ? describeEnding(ending) : "");
        const ids = svids.map(({ spiffeId }) => spiffeId).join(", ");
        const known = bench.snapshot.x509.svids.map(({ spiffeId }) => spiffeId).join(", ");
        requireThat(ids === known, `tokens for ${ids}; certificates for ${known}`);
        return ids;
      }),
  },
  {
    id: "A-11b",
    level: "M",
    text: "`aud` is the requested audience; all of them when there are several",
    check: (bench) =>
      bench.using(async (connection) => {
        const several = [AUDIENCE, "second", "third"];
        for (const audience of [[AUDIENCE], several]) {
          const payload = await verifyToken(bench, await requireToken(bench, connection, audience));
          const found = [payload.aud].flat().toSorted().join();
          requireThat(found === audience.toSorted().join(), `asked ${audience.join()}, got ${found}`);
        }
        return "one and three";
      }),
  },
  {
    id: "A-11c",
    level: "M",
    text: "asked for one of its ids, it answers with that one alone",
    check: (bench) =>
      bench.using(async (connection) => {
        for (const { spiffeId } of bench.snapshot.x509.svids) {
          const { svids } = await fetchTokens(bench, connection, jwtSvidRequest([AUDIENCE], spiffeId));
          requireThat(svids.length === 1 && svids[0]?.spiffeId === spiffeId, `${spiffeId}: another answer`);
        }
        return `${bench.snapshot.x509.svids.length} id(s)`;
      }),
  },
  {
    id: "A-8c",
    level: "M",
    text: "hints are unique among the tokens of a response",
    check: (bench) =>
      bench.using(async (connection) => {
        const { svids } = await fetchTokens(bench, connection, jwtSvidRequest([AUDIENCE]));
        const hints = svids.map(({ hint }) => hint).filter((hint) => hint !== "");
        if (hints.length === 0) throw new NotSeen("no token has a hint");
        requireThat(new Set(hints).size === hints.length, `a hint comes twice: ${hints.join(", ")}`);
        return `${hints.length} hint(s)`;
      }),
  },
  refusesFetch("A-11d", {
    level: "S",
    text: "an id that is not the caller's: PermissionDenied",
    request: ({ snapshot }) => jwtSvidRequest([AUDIENCE], `${snapshot.ownDomain}/conformance/nobody`),
    status: "permissionDenied",
  }),
  refusesFetch("A-11e", {
    level: "B",
    text: "an id that is none: InvalidArgument",
    request: () => jwtSvidRequest([AUDIENCE], "https://not.spiffe/"),
    status: "invalidArgument",
  }),
  refusesFetch("A-5a", {
    level: "S",
    text: "FetchJWTSVID without an audience: InvalidArgument",
    request: () => new Uint8Array(),
    status: "invalidArgument",
  }),
  {
    id: "A-5b",
    level: "B",
    text: `the refusal says "${AUDIENCE_TEXT}"`,
    check: (bench) =>
      bench.using(async (connection) => {
        const { ending } = await fetchTokens(bench, connection, new Uint8Array());
        requireThat(ending?.message === AUDIENCE_TEXT, `it says "${ending?.message}"`);
        return AUDIENCE_TEXT;
      }),
  },
  refusesFetch("A-5c", {
    level: "T",
    text: "FetchJWTSVID with an audience of no characters: InvalidArgument",
    request: () => jwtSvidRequest([""]),
    status: "invalidArgument",
  }),
];

const tokenRows: readonly Row[] = [
  {
    id: "J-1",
    level: "M",
    text: "the token is a compact JWS, and its `sub` is the message's id, a SPIFFE ID with a path",
    check: (bench) =>
      bench.using(async (connection) => {
        const token = await requireToken(bench, connection);
        requireThat(token.svid.split(".").length === 3, "not compact");
        const { sub } = await verifyToken(bench, token);
        requireThat(sub === token.spiffeId && isSpiffeId(token.spiffeId), `sub is ${sub}`);
        requireThat(domainOf(token.spiffeId) !== token.spiffeId, "the id has no path");
        return token.spiffeId;
      }),
  },
  {
    id: "J-2",
    level: "M",
    text: "the header holds only `alg`, `kid` and `typ`; `alg` is of the list, `typ` is JWT or JOSE (J-3, J-5)",
    check: (bench) =>
      bench.using(async (connection) => {
        const header = decodeProtectedHeader((await requireToken(bench, connection)).svid);
        const names = Object.keys(header).toSorted().join(", ");
        requireThat(/^alg(, kid)?(, typ)?$/.test(names), `it holds ${names}`);
        requireThat(ALGORITHMS.includes(header.alg ?? ""), `alg ${header.alg}`);
        requireThat(["JWT", "JOSE", undefined].includes(header.typ), `typ ${header.typ}`);
        return `${names}; ${header.alg}`;
      }),
  },
  {
    id: "J-4",
    level: "D",
    text: "the header names its key by `kid`",
    check: (bench) =>
      bench.using(async (connection) => {
        const { kid } = decodeProtectedHeader((await requireToken(bench, connection)).svid);
        requireThat(typeof kid === "string" && kid !== "", "no kid");
        return "kid";
      }),
  },
  {
    id: "J-8",
    level: "M",
    text: "the token expires, in the future, and says when it was issued (J-14)",
    check: (bench) =>
      bench.using(async (connection) => {
        const { exp, iat } = await verifyToken(bench, await requireToken(bench, connection));
        requireThat(exp !== undefined && exp * 1000 > Date.now(), `exp ${exp}`);
        requireThat(iat !== undefined, "no iat");
        return `${exp - iat} s`;
      }),
  },
];

const bundleRows: readonly Row[] = [
  {
    id: "A-10c",
    level: "M",
    text: "FetchJWTBundles has the own trust domain, keyed by its SPIFFE ID without a slash at the end",
    check: ({ snapshot }) => {
      const keys = [...snapshot.jwtBundles.keys()];
      requireThat(keys.includes(snapshot.ownDomain), `keys: ${keys.join(", ") || "none"}`);
      return keys.join(", ");
    },
  },
  {
    id: "A-12a",
    level: "M",
    text: "the JWT bundle is a JWK Set of public keys only, without certificates",
    check: (bench) => {
      const keys = ownKeys(bench);
      requireThat(keys.length > 0, "no keys");
      for (const key of keys) {
        const secret = PRIVATE_MEMBERS.filter((name) => name in key);
        requireThat(secret.length === 0 && !("x5c" in key), `a key has ${secret.join(", ") || "x5c"}`);
        createPublicKey({ key, format: "jwk" });
      }
      return `${keys.length} key(s)`;
    },
  },
  {
    id: "A-12b",
    level: "D",
    text: "no key has a `use`, which JOSE libraries would not know; every key has a `kid` of its own",
    check: (bench) => {
      const keys = ownKeys(bench);
      requireThat(
        keys.every(({ use }) => use === undefined),
        "a key has a use",
      );
      const kids = keys.map(({ kid }) => kid);
      requireThat(
        !kids.includes(undefined) && new Set(kids).size === kids.length,
        "a kid is missing or twice",
      );
      return `${kids.length} kid(s)`;
    },
  },
];

async function validate(
  bench: Bench,
  connection: Connection,
  request: Uint8Array,
): Promise<{ readonly validated: Validated | null; readonly ending: Ending | null }> {
  const call = startMethod(connection, "ValidateJWTSVID", { request });
  const { message, ending } = await firstMessage(call, bench.patienceMs);
  return { validated: message && parseValidated(message), ending };
}

/** A token of the suite's own making. */
function forge(id: string, kid: string | undefined, change: JWTPayload = {}): Promise<string> {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ sub: id, aud: AUDIENCE, iat: now, exp: now + 300, ...change })
    .setProtectedHeader({ alg: "ES256", ...(kid === undefined ? {} : { kid }) })
    .sign(privateKey);
}

function unsigned(id: string): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 300;
  return `${part({ alg: "none" })}.${part({ sub: id, aud: AUDIENCE, exp })}.`;
}

/** Whoever lets the token choose its algorithm takes the public key, which everybody has, for the secret of an HMAC. */
function keyedWithPublicKey(id: string, bench: Bench): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const [jwk] = ownKeys(bench);
  requireThat(jwk !== undefined, "no key in the own bundle");
  const exp = Math.floor(Date.now() / 1000) + 300;
  const input = `${part({ alg: "HS256", kid: jwk.kid })}.${part({ sub: id, aud: AUDIENCE, exp })}`;
  const secret = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

/** The good token in the flattened form, which JWT-SVID §1 forbids. */
function inJson(token: string): string {
  const [header, payload, signature] = token.split(".");
  return JSON.stringify({ protected: header, payload, signature });
}

/** The good token, with the payload of another. */
function spliced(token: string): string {
  const [header = "", payload = "", signature = ""] = token.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString());
  const other = Buffer.from(JSON.stringify({ ...claims, sub: `${claims.sub}/other` })).toString("base64url");
  return `${header}.${other}.${signature}`;
}

/** Shows a token and wants InvalidArgument. */
function refusesToken(
  id: string,
  text: string,
  make: (good: TokenSvid, bench: Bench) => Promise<Uint8Array> | Uint8Array,
): Row {
  return {
    id,
    level: "B",
    text: `ValidateJWTSVID of ${text}: InvalidArgument`,
    check: (bench) =>
      bench.using(async (connection) => {
        const request = await make(await requireToken(bench, connection), bench);
        return requireStatus((await validate(bench, connection, request)).ending, "invalidArgument");
      }),
  };
}

const validateRows: readonly Row[] = [
  {
    id: "A-13a",
    level: "M",
    text: "ValidateJWTSVID of a good token answers with its id and its SPIFFE claims",
    check: (bench) =>
      bench.using(async (connection) => {
        const token = await requireToken(bench, connection);
        const { validated, ending } = await validate(
          bench,
          connection,
          validateRequest(AUDIENCE, token.svid),
        );
        requireThat(validated !== null, ending ? describeEnding(ending) : "nothing came");
        requireThat(validated.spiffeId === token.spiffeId, `it names ${validated.spiffeId}`);
        const { sub, aud, exp } = validated.claims;
        requireThat(sub === token.spiffeId, `sub is ${sub}`);
        requireThat(typeof exp === "number", `exp is ${exp}`);
        requireThat(aud !== undefined, "no aud");
        return Object.keys(validated.claims).toSorted().join(", ");
      }),
  },
  {
    id: "A-13b",
    level: "B",
    text: "a single audience comes back as a list of one",
    check: (bench) =>
      bench.using(async (connection) => {
        const { svid } = await requireToken(bench, connection);
        const { validated } = await validate(bench, connection, validateRequest(AUDIENCE, svid));
        const { aud } = validated?.claims ?? {};
        requireThat(
          Array.isArray(aud) && aud.length === 1 && aud[0] === AUDIENCE,
          `aud is ${JSON.stringify(aud)}`,
        );
        return JSON.stringify(aud);
      }),
  },
  refusesToken("A-13c", "a good token for another audience", ({ svid }) => validateRequest("somebody", svid)),
  refusesToken("A-13d", "a token whose payload was exchanged", ({ svid }) =>
    validateRequest(AUDIENCE, spliced(svid)),
  ),
  refusesToken("A-13e", "a token that another key signed under a known `kid`", async ({ svid, spiffeId }) =>
    validateRequest(AUDIENCE, await forge(spiffeId, decodeProtectedHeader(svid).kid)),
  ),
  refusesToken("A-13f", "a token of a trust domain that nobody knows (J-10)", async () =>
    validateRequest(AUDIENCE, await forge("spiffe://stranger.test/a", "any")),
  ),
  refusesToken("A-13g", "a token without a signature (J-3)", ({ spiffeId }) =>
    validateRequest(AUDIENCE, unsigned(spiffeId)),
  ),
  refusesToken(
    "A-13i",
    "a token that an HMAC of the bundle's public key signed (J-3)",
    ({ spiffeId }, bench) => validateRequest(AUDIENCE, keyedWithPublicKey(spiffeId, bench)),
  ),
  refusesToken("A-13j", "a good token in JSON serialization (J-1)", ({ svid }) =>
    validateRequest(AUDIENCE, inJson(svid)),
  ),
  refusesToken("A-13h", "a word that is no token", () => validateRequest(AUDIENCE, "token")),
  refusesToken("A-5d", "nothing", () => validateRequest(AUDIENCE, "")),
  refusesToken("A-5e", "a good token without an audience", ({ svid }) => validateRequest("", svid)),
];

export const jwtRows: readonly Row[] = [...fetchRows, ...tokenRows, ...bundleRows, ...validateRows];
