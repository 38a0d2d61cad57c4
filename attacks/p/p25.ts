/** P25: client documents that lead the server elsewhere, or say that they are somebody else's client. */
import type { TestInstance } from "../../test/support/actors.ts";
import { type ClientHost, startClientHost } from "../../test/support/client-host.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { postForm } from "../../test/support/oauth.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { expectOAuthError } from "../support/oauth.ts";
import type { World } from "../support/world.ts";

interface Scene {
  readonly agent: TestInstance;
  /** Another owner's world would do as well: an agent that the document does not name. */
  readonly thief: TestInstance;
  readonly url: string;
}

/** One for the honest and the weakened server; it keeps no process alive. */
let started: Promise<ClientHost> | undefined;
function clientHost(): Promise<ClientHost> {
  started ??= startClientHost();
  return started;
}

function ask(world: World, by: TestInstance, clientId: string): Promise<RawAnswer> {
  const form = { grant_type: "client_credentials", client_id: clientId, resource: "https://a.test" };
  return postForm(world.server, "/oauth/token", { form, tls: by.tls });
}

/** Played by the runner. */
export const scenario = defineScenario<Scene>({
  id: "P25",
  title:
    "names itself by URLs of the metadata service, of a redirect, of another client and of a document about another URL",
  expected: "refused; no private address is asked, no redirect followed, and the name stays its client's",
  weakening: "client-documents-of-anybody",
  world: {
    configure: async () => {
      const { origin } = await clientHost();
      return {
        oauth: { clientDocuments: { origins: [{ url: origin, allowPrivate: true }], anyPublic: true } },
      };
    },
  },
  prepare: async (world) => {
    const { put, origin } = await clientHost();
    const [agent, thief] = [await world.enrol(["read:items"]), await world.enrol(["read:items"])];
    const path = `/agent-${agent.answer.instance_id}`;
    const url = put(path, { client_id: `${origin}${path}`, spiffe_id: agent.answer.spiffe_id });
    return { agent, thief, url };
  },
  control: async (world, { agent, url }) => {
    expectSame((await ask(world, agent, url)).status, 200, "the client whose document it is");
  },
  attack: async (world, { thief, url }) => {
    const { put, origin, asked } = await clientHost();
    const mine = { spiffe_id: thief.answer.spiffe_id };
    const aside = put("/aside", { client_id: `${origin}/redirect`, ...mine });
    const before = asked.length;
    const urls = {
      "another client's document": url,
      "a document about another URL": put("/mismatch", { client_id: url, ...mine }),
      "a redirect": put(
        "/redirect",
        { client_id: `${origin}/redirect`, ...mine },
        { status: 302, location: aside },
      ),
      "the metadata service": "https://169.254.169.254/latest/meta-data",
      "a loopback port": "https://127.0.0.1:22/c",
      "a file": "file:///etc/passwd",
    };
    for (const [what, clientId] of Object.entries(urls)) {
      expectOAuthError(await ask(world, thief, clientId), "invalid_client", what);
    }
    expect(!asked.slice(before).includes("/aside"), "no redirect is followed");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "client_document_refused" }, 5);
    await ledger.expect({ kind: "refuse", reason: "principal_refused" }, 1);
    await ledger.expect({ kind: "token" }, 0);
  },
});
