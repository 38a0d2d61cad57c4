/** What `ValidateJWTSVID` lets pass: the endpoint's own good tokens, and none that the suite made or changed. */
import { createHmac, createPublicKey, generateKeyPairSync } from "node:crypto";
import { decodeProtectedHeader, type JWTPayload, SignJWT } from "jose";
import {
  firstMessage,
  parseValidated,
  startMethod,
  type TokenSvid,
  type Validated,
  validateRequest,
} from "./api.ts";
import type { Connection, Ending } from "./grpc.ts";
import { AUDIENCE, ownKeys, requireToken } from "./jwt-rows.ts";
import { type Bench, describeEnding, type Row, requireStatus, requireThat } from "./row.ts";

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

export const validateRows: readonly Row[] = [
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
