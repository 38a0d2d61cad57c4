/** The optional WIT profile: served by both of its calls or by none, and what its tokens and keys have to be. */
import { createPublicKey, type webcrypto } from "node:crypto";
import { decodeJwt, decodeProtectedHeader, jwtVerify } from "jose";
import { firstMessage, parseWitSvids, startMethod, type WitSvid } from "./api.ts";
import { STATUS } from "./grpc.ts";
import { type Bench, describeEnding, Failed, NotSeen, type Row, requireStatus, requireThat } from "./row.ts";
import { decodeText, encodeField, mapOf, parseFields } from "./wire.ts";

const ALGORITHMS: ReadonlySet<unknown> = new Set(
  ["RS", "ES", "PS"].flatMap((family) => [256, 384, 512].map((size) => `${family}${size}`)),
);

type Jwk = webcrypto.JsonWebKey & { readonly kid?: string };

/** The first message of a WIT call; NotSeen when the profile is not served. */
async function witMessage(
  bench: Bench,
  method: "FetchWITSVID" | "FetchWITBundles",
  request?: Uint8Array,
): Promise<Uint8Array> {
  return bench.using(async (connection) => {
    const call = startMethod(connection, method, request === undefined ? {} : { request });
    const { message, ending } = await firstMessage(call, bench.patienceMs);
    if (ending?.status === STATUS.unimplemented) throw new NotSeen("the WIT profile is not served");
    if (message === null) throw new Failed(ending ? describeEnding(ending) : "nothing came in time");
    return message;
  });
}

async function witSvids(bench: Bench): Promise<readonly WitSvid[]> {
  const svids = parseWitSvids(await witMessage(bench, "FetchWITSVID"));
  requireThat(svids.length > 0, "no WIT-SVID");
  return svids;
}

/** Keys of the own trust domain, as one of the two kinds of bundles has them. */
function keysOf(document: string | undefined): readonly Jwk[] {
  const set: { readonly keys: readonly Jwk[] } = JSON.parse(document ?? '{"keys":[]}');
  return set.keys;
}

async function witKeys(bench: Bench): Promise<readonly Jwk[]> {
  const bundles = mapOf(parseFields(await witMessage(bench, "FetchWITBundles")), 1);
  const own = bundles.get(bench.snapshot.ownDomain);
  requireThat(own !== undefined, `no bundle of ${bench.snapshot.ownDomain}`);
  return keysOf(decodeText(own));
}

function confirmationOf(svid: string): Readonly<Record<string, unknown>> {
  const { cnf } = decodeJwt(svid);
  const jwk = typeof cnf === "object" && cnf !== null && "jwk" in cnf ? cnf.jwk : undefined;
  if (typeof jwk !== "object" || jwk === null) throw new Failed("no cnf.jwk");
  return { ...jwk };
}

/** The call is refused with this status when it asks for that id. */
function refusesId(
  id: string,
  level: "S" | "B",
  options: { readonly of: string; readonly status: "permissionDenied" | "invalidArgument" },
): Row {
  return {
    id,
    level,
    text: `FetchWITSVID for \`${options.of}\`: ${options.status}`,
    check: async (bench) => {
      await witMessage(bench, "FetchWITSVID");
      return bench.using(async (connection) => {
        const call = startMethod(connection, "FetchWITSVID", { request: encodeField(1, options.of) });
        return requireStatus((await firstMessage(call, bench.patienceMs)).ending, options.status);
      });
    },
  };
}

export const witRows: readonly Row[] = [
  {
    id: "W-9",
    level: "M",
    text: "the WIT profile is served by both calls, or both answer Unimplemented",
    check: (bench) =>
      bench.using(async (connection) => {
        const endings: string[] = [];
        for (const method of ["FetchWITSVID", "FetchWITBundles"] as const) {
          const { message, ending } = await firstMessage(startMethod(connection, method), bench.patienceMs);
          requireThat(
            message !== null || ending?.status === STATUS.unimplemented,
            `${method}: ${ending ? describeEnding(ending) : "nothing came in time"}`,
          );
          endings.push(message === null ? "Unimplemented" : "served");
        }
        requireThat(new Set(endings).size === 1, `FetchWITSVID ${endings[0]}, FetchWITBundles ${endings[1]}`);
        return `both ${endings[0]}`;
      }),
  },
  {
    id: "W-1",
    level: "M",
    text: "a WIT-SVID has `kid`, `typ` wit+jwt and a listed `alg`, and verifies with the key of its trust domain's bundle",
    check: async (bench) => {
      const keys = await witKeys(bench);
      const svids = await witSvids(bench);
      for (const { svid } of svids) {
        const { kid, typ, alg } = decodeProtectedHeader(svid);
        requireThat(typ === "wit+jwt", `typ ${typ}`);
        requireThat(ALGORITHMS.has(alg), `alg ${alg}`);
        const jwk = keys.find((one) => one.kid === kid);
        requireThat(kid !== undefined && jwk !== undefined, `no key ${kid}`);
        try {
          await jwtVerify(svid, createPublicKey({ key: jwk, format: "jwk" }));
        } catch (cause) {
          throw new Failed(`it does not verify: ${cause instanceof Error ? cause.message : "?"}`);
        }
      }
      return `${svids.length} WIT-SVID(s)`;
    },
  },
  {
    id: "W-2",
    level: "M",
    text: "its `sub` is the message's SPIFFE ID, it has an `exp`, and `cnf.jwk` is a public key with a listed `alg`",
    check: async (bench) => {
      for (const { svid, spiffeId } of await witSvids(bench)) {
        const { sub, exp } = decodeJwt(svid);
        requireThat(sub === spiffeId, `sub ${sub}`);
        requireThat(exp !== undefined, "no exp");
        const { alg, d } = confirmationOf(svid);
        requireThat(ALGORITHMS.has(alg), `cnf.jwk.alg ${String(alg)}`);
        requireThat(d === undefined, "cnf.jwk is private");
      }
      return "";
    },
  },
  {
    id: "W-3",
    level: "M",
    text: "it has no `aud`",
    check: async (bench) => {
      for (const { svid } of await witSvids(bench))
        requireThat(decodeJwt(svid).aud === undefined, "it has an audience");
      return "";
    },
  },
  {
    id: "W-6",
    level: "S",
    text: "its `iss`, if there is one, is no place of OpenID Connect discovery",
    check: async (bench) => {
      const issuers = (await witSvids(bench)).map(({ svid }) => decodeJwt(svid).iss);
      for (const iss of issuers) requireThat(iss?.startsWith("http") !== true, `iss ${iss}`);
      return issuers[0] ?? "no iss";
    },
  },
  {
    id: "W-8",
    level: "M",
    text: "each WIT key has a `kid` that no other WIT key and no JWT key has",
    check: async (bench) => {
      const jwt = bench.snapshot.jwtBundles.get(bench.snapshot.ownDomain);
      const kids = (await witKeys(bench)).map(({ kid }) => kid);
      const others = keysOf(jwt === undefined ? undefined : decodeText(jwt)).map(({ kid }) => kid);
      requireThat(
        kids.every((kid) => kid !== undefined && kid !== ""),
        "a key without kid",
      );
      requireThat(new Set([...kids, ...others]).size === kids.length + others.length, "a kid comes twice");
      return `${kids.length} key(s)`;
    },
  },
  {
    id: "A-14a",
    level: "M",
    text: "the key beside it is a private JWK, and is the one in `cnf.jwk`; hints are unique",
    check: async (bench) => {
      const svids = await witSvids(bench);
      for (const { svid, key } of svids) {
        const jwk: Jwk = JSON.parse(key);
        requireThat(jwk.d !== undefined || jwk.kty === "OKP", "the key is not private");
        const own = createPublicKey({ key: jwk, format: "jwk" });
        requireThat(
          own.equals(createPublicKey({ key: confirmationOf(svid), format: "jwk" })),
          "cnf is another key",
        );
      }
      const hints = svids.map(({ hint }) => hint).filter((hint) => hint !== "");
      requireThat(new Set(hints).size === hints.length, "a hint comes twice");
      return "";
    },
  },
  {
    id: "A-14b",
    level: "S",
    text: "the WIT-SVID of one of the caller's ids is that one alone",
    check: async (bench) => {
      const wanted = (await witSvids(bench)).at(-1)?.spiffeId ?? "";
      const message = await witMessage(bench, "FetchWITSVID", encodeField(1, wanted));
      const ids = parseWitSvids(message).map(({ spiffeId }) => spiffeId);
      requireThat(ids.join() === wanted, ids.join());
      return wanted;
    },
  },
  refusesId("A-14c", "S", { of: "spiffe://nobody.test/else", status: "permissionDenied" }),
  refusesId("A-14d", "B", { of: "no id", status: "invalidArgument" }),
];
