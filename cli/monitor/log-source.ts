/**
 * Places that show a log: the server on this machine, any tlog-tiles log by URL, a witness. What they answer is a
 * stranger's, bounded in bytes and time.
 */
import { Agent } from "node:https";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { LogReader } from "@trustwarden/core/agentledger/ports.ts";
import { CHECKPOINT_PATH } from "@trustwarden/core/agentledger/tile.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { ApiAnswer, Client } from "../client.ts";
import { exchange, exchangeTls } from "../http-exchange.ts";

/** The one name in the certificate of a server; no agent's begins so. */
const SERVER_ID = /^URI:spiffe:\/\/[a-z0-9._-]+\/trustwarden\/server\/[A-Za-z0-9._-]+$/;

/** For one request: a place that drips bytes holds up the look at all others no longer. */
const LIMIT_MS = 30_000;

/** Where a log is read. */
export interface LogSource {
  readonly name: string;
  readonly reader: LogReader;
  /** Whether having no checkpoint is an answer: a witness may not have seen this log yet. */
  readonly mayBeEmpty: boolean;
  readonly close: () => void;
}

/** A shard of the ledger of the server that the session is with. @param folder - of the shard; the first one's is empty. */
export function createServerSource(client: Client, folder: string): LogSource {
  return {
    name: "this server",
    reader: {
      readObject: (path) => client.getBytes(`/ledger/${folder}${path}`),
      readCheckpoint: () => client.getText(`/ledger/${folder}${CHECKPOINT_PATH}`),
    },
    mayBeEmpty: false,
    close: () => undefined,
  };
}

/**
 * A log at an http(s) prefix.
 *
 * @param options.ca - PEM of the authorities that an https server's certificate is from; the system's unless given.
 * @param options.checkpointPath - where under the prefix the signed note is; `mayBeEmpty` - of a witness.
 * @throws TrustWardenError `usage` for what is no such prefix.
 */
export function createUrlSource(
  text: string,
  {
    ca,
    checkpointPath = CHECKPOINT_PATH,
    mayBeEmpty = false,
    limitMs = LIMIT_MS,
  }: {
    readonly ca: string | undefined;
    readonly checkpointPath?: string;
    readonly mayBeEmpty?: boolean;
    readonly limitMs?: number;
  },
): LogSource {
  const url = URL.parse(text);
  if (url === null || !["http:", "https:"].includes(url.protocol) || url.search !== "" || url.hash !== "")
    throw new TrustWardenError("usage", { why: `${text} is no http or https prefix` });
  const agent = new Agent(ca === undefined ? {} : { ca, checkServerIdentity: requireNameOrServerId });
  const prefix = url.pathname.replace(/\/+$/, "");
  const get = async (path: string): Promise<Uint8Array> => {
    const request = {
      method: "GET",
      target: `${prefix}/${path}`,
      body: new Uint8Array(),
      lane: "main",
      // As it is, or as a log keeps its entries compressed.
      headers: { "accept-encoding": "gzip" },
    } as const;
    const answer =
      url.protocol === "https:"
        ? await exchangeTls({ origin: url.origin, request, agent, headers: {}, limitMs })
        : await exchange(
            request,
            { host: url.hostname.replace(/^\[|\]$/g, ""), port: url.port === "" ? 80 : url.port },
            limitMs,
          );
    return requireFound(answer, path);
  };
  return {
    name: url.href,
    reader: { readObject: get, readCheckpoint: async () => parseUtf8(await get(checkpointPath)) },
    mayBeEmpty,
    close: () => agent.destroy(),
  };
}

/** Under named authorities a TrustWarden server may show the ID of a server instead of a host's name. */
function requireNameOrServerId(host: string, certificate: PeerCertificate): Error | undefined {
  return SERVER_ID.test(certificate.subjectaltname ?? "")
    ? undefined
    : checkServerIdentity(host, certificate);
}

function requireFound({ status, body }: ApiAnswer, path: string): Uint8Array {
  if (status === 200) return body;
  // What is withheld and what is not there look the same to whoever may not read it.
  if (status === 404 || status === 403 || status === 401 || status === 410)
    throw new TrustWardenError("not_found", { path, status });
  throw new TrustWardenError("server_unreachable", { why: `${path} was answered with status ${status}` });
}
