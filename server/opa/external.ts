/**
 * Asks an OPA server on this machine, over its unix socket: an engine that is physically another process.
 *
 * It evaluates the same Rego as the Wasm (it pulls our bundle, see `bundles.ts`) and has its say beside it, never in its
 * place. No answer in time, another status, or an answer that is too large is no answer, and that denies.
 *
 * @see https://www.openpolicyagent.org/docs/rest-api#get-a-document-with-input
 */
import { Agent, request } from "node:http";
import type { PolicyInput } from "@trustwarden/core/agentscope/policy-input.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { parseJsonObject } from "@trustwarden/core/json.ts";

const PATH = "/v1/data/trustwarden/decision/result";
const MAX_ANSWER_BYTES = 65_536;
/** Decisions wait in line for a connection; more would only wait inside OPA. */
const MAX_CONNECTIONS = 64;

export interface ExternalOpaOptions {
  /** Path of the unix socket. */
  readonly socket: string;
  readonly deadlineMs: number;
}

export interface ExternalOpa {
  /** The policy's raw answer. @throws TrustWardenError `policy_unavailable`. */
  evaluate(input: PolicyInput): Promise<unknown>;
  close(): void;
}

/** Connects when it is first asked, so that an OPA may start later than we do. */
export function createExternalOpa({ socket, deadlineMs }: ExternalOpaOptions): ExternalOpa {
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS });
  return {
    async evaluate(input) {
      try {
        const body = JSON.stringify({ input });
        const answer = await post({
          agent,
          socketPath: socket,
          body,
          signal: AbortSignal.timeout(deadlineMs),
        });
        return parseJsonObject(answer).result;
      } catch (cause) {
        throw new TrustWardenError("policy_unavailable", { reason: "external engine" }, { cause });
      }
    },
    close: () => agent.destroy(),
  };
}

function post(options: {
  readonly agent: Agent;
  readonly socketPath: string;
  readonly body: string;
  readonly signal: AbortSignal;
}): Promise<string> {
  const { agent, socketPath, body, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const outgoing = request({ agent, socketPath, method: "POST", path: PATH, headers, signal }, (answer) => {
    const parts: Buffer[] = [];
    let size = 0;
    answer.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_ANSWER_BYTES) answer.destroy(new Error("the answer is too large"));
      else parts.push(chunk);
    });
    answer.on("error", reject);
    answer.on("end", () => {
      if (answer.statusCode === 200) resolve(parseUtf8(Buffer.concat(parts)));
      else reject(new Error(`status ${answer.statusCode}`));
    });
  });
  outgoing.on("error", reject);
  outgoing.end(body);
  return promise;
}
