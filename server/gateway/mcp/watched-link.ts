/**
 * The same care for messages that no HTTP client carries: what goes to an MCP server on standard input, and what comes
 * back from it, is searched for canaries like any request and answer. No secret goes to such a server.
 */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { encodeRpcMessage } from "@trustwarden/core/gateway/mcp/json-rpc.ts";
import type { CanarySearch } from "../ports.ts";
import type { Exchange, Incoming, McpLink } from "./link.ts";

/** @throws TrustWardenError `canary_found`, from whatever the link does. */
export function watchLink(link: McpLink, search: CanarySearch): McpLink {
  const watched = (exchange: Exchange): Exchange => ({
    ...exchange,
    incoming: watchIncoming(exchange.incoming, search),
  });
  return {
    post: async (outgoing) => {
      await search.requireClean(encodeUtf8(encodeRpcMessage(outgoing.message)), "request body");
      return watched(await link.post(outgoing));
    },
    listen: async (stream) => watched(await link.listen(stream)),
    end: (session) => link.end(session),
  };
}

async function* watchIncoming(
  incoming: AsyncIterable<Incoming>,
  search: CanarySearch,
): AsyncGenerator<Incoming> {
  for await (const part of incoming) {
    if (part.message !== null)
      await search.requireClean(encodeUtf8(encodeRpcMessage(part.message)), "answer body");
    yield part;
  }
}
