import { afterEach, describe, expect, it } from "vitest";
import { type LiveServer, startLiveServer } from "./live.test.support.ts";
import { type GuardAgents, verifyAgent } from "./verify-agent.ts";

let server: LiveServer | undefined;
let service: GuardAgents | undefined;

afterEach(async () => {
  await service?.close();
  await server?.close();
});

describe("a server that stops", () => {
  it("ends while a verifier holds its lease, and the verifier comes back to the next one", async () => {
    server = await startLiveServer();
    service = await verifyAgent({
      ticket: await server.verifierTicket("finance-api"),
      routes: [
        {
          method: "GET",
          path: "/",
          action: "read:transactions",
          resource: "postgres://finance-db/transactions",
        },
      ],
    });
    await server.restart();
    await expect
      .poll(() => server?.admin("GET", "/v1/status"), { timeout: 15_000 })
      .toMatchObject({ verifiers: 1 });
  });
});
