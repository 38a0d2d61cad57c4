/** The endpoint: transport, the security header, status codes, reflection. @see SPIFFE_Workload_Endpoint.md */
import { firstMessage, METHOD_NAMES, METHODS, SERVICE, startMethod } from "./api.ts";
import type { CallOptions } from "./grpc.ts";
import { readReflection } from "./reflection.ts";
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

const SECURITY_TEXT = "security header missing from request";
/** The calls that every endpoint serves; the other two belong to an optional profile. */
const STABLE_METHODS = METHOD_NAMES.filter((name) => !name.startsWith("FetchWIT"));

/** Field numbers of each message, by the standard's wire table; `M` marks a map entry's field. */
const WIRE: Readonly<Record<string, readonly string[]>> = {
  X509SVIDRequest: [],
  X509SVIDResponse: ["1 svids", "2 crl", "3 federated_bundles"],
  X509SVID: ["1 spiffe_id", "2 x509_svid", "3 x509_svid_key", "4 bundle", "5 hint"],
  X509BundlesRequest: [],
  X509BundlesResponse: ["1 crl", "2 bundles"],
  JWTSVIDRequest: ["1 audience", "2 spiffe_id"],
  JWTSVIDResponse: ["1 svids"],
  JWTSVID: ["1 spiffe_id", "2 svid", "3 hint"],
  JWTBundlesRequest: [],
  JWTBundlesResponse: ["1 bundles"],
  ValidateJWTSVIDRequest: ["1 audience", "2 svid"],
  ValidateJWTSVIDResponse: ["1 spiffe_id", "2 claims"],
};

/** Calls FetchX509SVID with wrong metadata and wants a refusal. */
function refusesHeader(id: string, text: string, options: CallOptions): Row {
  return {
    id,
    level: "M",
    text: `${text}: InvalidArgument`,
    check: (bench) =>
      bench.using(async (connection) => {
        const call = startMethod(connection, "FetchX509SVID", options);
        return requireStatus((await firstMessage(call, bench.patienceMs)).ending, "invalidArgument");
      }),
  };
}

const headerRows: readonly Row[] = [
  {
    id: "E-2a",
    level: "M",
    text: "each of the five calls without `workload.spiffe.io` is refused: InvalidArgument",
    check: (bench) =>
      bench.using(async (connection) => {
        for (const method of STABLE_METHODS) {
          const call = startMethod(connection, method, { security: [] });
          const { ending } = await firstMessage(call, bench.patienceMs);
          try {
            requireStatus(ending, "invalidArgument");
          } catch (error) {
            throw new Failed(`${method}: ${error instanceof Error ? error.message : error}`);
          }
        }
        return STABLE_METHODS.join(", ");
      }),
  },
  refusesHeader("E-2b", "the header as `True`", { security: ["True"] }),
  refusesHeader("E-2c", "the header as `1`", { security: ["1"] }),
  refusesHeader("E-2d", "the header empty", { security: [""] }),
  {
    ...refusesHeader("E-2e", "the header twice", { security: ["true", "true"] }),
    level: "B",
  },
  {
    ...refusesHeader("E-2f", "the header as `true` and `false`", { security: ["true", "false"] }),
    level: "B",
  },
  refusesHeader("E-2g", "the Broker's header in its place", {
    security: [],
    headers: { "broker.spiffe.io": "true" },
  }),
  {
    id: "E-2h",
    level: "B",
    text: `the refusal says "${SECURITY_TEXT}"`,
    check: (bench) =>
      bench.using(async (connection) => {
        const call = startMethod(connection, "FetchX509SVID", { security: [] });
        const { ending } = await firstMessage(call, bench.patienceMs);
        requireThat(ending?.message === SECURITY_TEXT, `it says "${ending?.message}"`);
        return SECURITY_TEXT;
      }),
  },
];

const transportRows: readonly Row[] = [
  {
    id: "E-1",
    level: "M",
    text: "it speaks gRPC: HTTP status 200 and the content type of gRPC",
    check: (bench) =>
      bench.using(async (connection) => {
        const ending = await startMethod(connection, "ValidateJWTSVID").ending;
        requireThat(
          ending.httpStatus === 200 && /^application\/grpc(\+proto)?$/.test(ending.contentType ?? ""),
          `${ending.httpStatus} ${ending.contentType}`,
        );
        return `${ending.httpStatus} ${ending.contentType}`;
      }),
  },
  {
    id: "E-3",
    level: "M",
    text: "it asks for neither TLS nor a client's credentials",
    check: ({ snapshot }) => `${snapshot.x509.svids.length} SVID(s) over a plain connection`,
  },
  {
    id: "A-2",
    level: "M",
    text: "the first message of each stream comes at once",
    check: (bench) =>
      bench.using(async (connection) => {
        const times: string[] = [];
        for (const method of STABLE_METHODS.filter((name) => METHODS[name] === "stream")) {
          const startedAt = performance.now();
          const call = startMethod(connection, method);
          const { message, ending } = await firstMessage(call, bench.patienceMs);
          requireThat(
            message !== null,
            `${method}: ${ending ? describeEnding(ending) : "nothing came in time"}`,
          );
          times.push(`${method} ${Math.round(performance.now() - startedAt)} ms`);
        }
        return times.join(", ");
      }),
  },
];

/** Calls a path with an empty request and wants `Unimplemented`. */
function unimplemented(id: string, level: Level, text: string, path: string): Row {
  return {
    id,
    level,
    text,
    check: (bench) =>
      bench.using(async (connection) =>
        requireStatus(await ended(bench, connection.call(path, new Uint8Array())), "unimplemented"),
      ),
  };
}

/** The end of a call that may also answer; null when it did. */
async function ended(bench: Bench, call: ReturnType<typeof startMethod>) {
  return (await firstMessage(call, bench.patienceMs)).ending;
}

const methodRows: readonly Row[] = [
  unimplemented("E-5a", "M", "an unknown call of the service: Unimplemented", `/${SERVICE}/FetchEverything`),
  unimplemented("E-5b", "M", "an unknown service: Unimplemented", "/nobody.Service/Call"),
  unimplemented("E-5c", "M", "a call's name in other case: Unimplemented", `/${SERVICE}/fetchx509svid`),
  {
    id: "E-6",
    level: "S",
    text: "server reflection lists the service",
    check: (bench) =>
      bench.using(async (connection) => {
        const { services } = await requireReflection(bench, connection);
        requireThat(services.includes(SERVICE), `it lists ${services.join(", ") || "nothing"}`);
        return services.join(", ");
      }),
  },
  {
    id: "E-7a",
    level: "M",
    text: "the service has no calls but the standard's",
    check: (bench) =>
      bench.using(async (connection) => {
        const { methods } = await requireReflection(bench, connection);
        const extra = methods.filter((name) => !METHOD_NAMES.some((known) => known === name));
        requireThat(extra.length === 0, `it also has ${extra.join(", ")}`);
        requireThat(
          STABLE_METHODS.every((name) => methods.includes(name)),
          `it has only ${methods.join(", ")}`,
        );
        return methods.join(", ");
      }),
  },
  {
    id: "E-7b",
    level: "M",
    text: "its messages have the standard's field numbers and no others",
    check: (bench) =>
      bench.using(async (connection) => {
        const { messages } = await requireReflection(bench, connection);
        for (const [name, fields] of Object.entries(WIRE)) {
          const found = messages.get(name);
          requireThat(found !== undefined, `${name} is not described`);
          requireThat(found.join() === fields.join(), `${name} is ${found.join(", ")}`);
        }
        return `${Object.keys(WIRE).length} messages`;
      }),
  },
];

async function requireReflection(bench: Bench, connection: Parameters<typeof readReflection>[0]) {
  const found = await readReflection(connection, bench.patienceMs);
  if (found === null) throw new NotSeen("the endpoint has no server reflection");
  return found;
}

export const endpointRows: readonly Row[] = [...transportRows, ...headerRows, ...methodRows];
