/** The JWT profile as a black box shows it: tokens and their bundles. What is proven of tokens is in `validate-rows.ts`. */
import { createPublicKey, type webcrypto } from "node:crypto";
import { decodeProtectedHeader, type JWTPayload, jwtVerify } from "jose";
import { jwtSvidRequest, parseJwtSvids, startMethod, type TokenSvid } from "./api.ts";
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

/** The audience of every token that the suite asks for, unless a row says otherwise. */
export const AUDIENCE = "spiffe://conformance.test/audience";
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

/** The first token of the caller. */
export async function requireToken(
  bench: Bench,
  connection: Connection,
  audience = [AUDIENCE],
): Promise<TokenSvid> {
  const { svids, ending } = await fetchTokens(bench, connection, jwtSvidRequest(audience));
  const [first] = svids;
  if (first === undefined) throw new Failed(ending ? describeEnding(ending) : "no token");
  return first;
}

interface Jwk extends webcrypto.JsonWebKey {
  readonly kid?: string;
  readonly use?: string;
}

/** The keys of the own trust domain, as its JWT bundle has them. */
export function ownKeys({ snapshot }: Bench): readonly Jwk[] {
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

export const jwtRows: readonly Row[] = [...fetchRows, ...tokenRows, ...bundleRows];
