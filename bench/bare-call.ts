/** Calls without TrustWarden, over mutual TLS 1.3: what any program pays before anybody proves or records anything. */
import { generateKeyPairSync } from "node:crypto";
import { type Agent, request } from "node:https";
import { formatSpiffeId } from "@trustwarden/core/agentid/spiffe-id.ts";
import { encodeSpki } from "@trustwarden/core/crypto.ts";
import { formatPemChain } from "../sdk/instance-key.ts";
import { createDomain, issueSvid } from "./domain.ts";

/** Key and certificate that a client presents. */
export interface ClientTls {
  readonly key: string;
  readonly cert: string;
  readonly minVersion: "TLSv1.3";
  readonly rejectUnauthorized: false;
}

/** TLS of a client with a certificate of the product's own profile; the bare service lets anybody in. */
export function createClientTls(): ClientTls {
  const domain = createDomain();
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const id = formatSpiffeId(domain.authority.trustDomain, ["team", "finance", "bare", "inst-1"]);
  const leaf = issueSvid(domain, id, encodeSpki(publicKey));
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: formatPemChain([leaf, domain.authority.intermediate.der]),
    minVersion: "TLSv1.3",
    rejectUnauthorized: false,
  };
}

/** One call, with its answer read to the end. @throws Error for anything but 200. */
export function callBare(
  url: string,
  options: { readonly agent: Agent; readonly body?: string },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { agent, body } = options;
  const method = body === undefined ? "GET" : "POST";
  const sent = request(url, { agent, method }, (answer) => {
    answer.resume();
    answer.once("end", () => {
      if (answer.statusCode === 200) resolve();
      else reject(new Error(`the bare service answered ${answer.statusCode}`));
    });
    answer.once("error", reject);
  });
  sent.once("error", reject);
  sent.end(body);
  return promise;
}
