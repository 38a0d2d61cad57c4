/**
 * One POST to a receiver of the operator's: over TLS but for one on this machine, as the configuration holds each to.
 *
 * Redirects are not followed: whoever answers at the configured address does not get to send events anywhere else.
 */
import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** PEM. */
export interface PostTls {
  readonly ca?: string;
  readonly key?: string;
  readonly cert?: string;
}

/** Returns when the receiver has taken the body. @throws TrustWardenError `sink_refused`; what a connection fails with. */
export function post(
  to: {
    readonly url: string;
    readonly timeoutMs: number;
    readonly tls: PostTls;
    /** Ends it early. */
    readonly signal?: AbortSignal;
  },
  sending: {
    readonly headers: Readonly<Record<string, string>>;
    readonly body: string;
    /** Which answers mean that it was taken. */
    readonly isTaken: (status: number) => boolean;
  },
): Promise<void> {
  const { url, timeoutMs, tls } = to;
  const { body, isTaken } = sending;
  const headers = { ...sending.headers, "content-length": Buffer.byteLength(body) };
  const late = AbortSignal.timeout(timeoutMs);
  const signal = to.signal === undefined ? late : AbortSignal.any([to.signal, late]);
  const request = url.startsWith("https:") ? requestTls : requestPlain;
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: "POST", headers, agent: false, signal, ...tls });
    sent.on("error", reject);
    sent.on("response", (answer) => {
      const { statusCode: status = 0 } = answer;
      // Its words are nobody's business here; they are let go, with the connection.
      answer.destroy();
      if (isTaken(status)) resolve();
      else reject(new TrustWardenError("sink_refused", { reason: `status ${status}` }));
    });
    sent.end(body);
  });
}
