/** Whoever holds the identity of an agent that commits: what `warden run` opens for its program, in this process. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatTicketValue } from "@trustwarden/core/agentid/enrolment-value.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { bindToSameAccount } from "@trustwarden/node/launcher/binding.ts";
import { LaunchedSource } from "@trustwarden/node/launcher/launched-source.ts";
import { createWorkloadApi } from "@trustwarden/node/workload-api/workload-api.ts";
import { DeliveredIdentity, nowSeconds, systemRuntime } from "trustwarden/peer.ts";
import { type TestOwner, ticketOf } from "../test/support/actors.ts";
import { jsonOf, send } from "../test/support/http.ts";
import type { TestServer } from "../test/support/server.ts";

/** An agent, its socket, and its end. */
export interface TestHolder {
  readonly spiffeId: string;
  readonly instanceId: string;
  /** `SPIFFE_ENDPOINT_SOCKET`. */
  readonly socket: string;
  readonly close: () => Promise<void>;
}

/** An agent of an owner, held here. */
export async function openHolder(
  server: TestServer,
  owner: TestOwner,
  { scope, ttlSeconds }: { readonly scope: readonly string[]; readonly ttlSeconds?: number },
): Promise<TestHolder> {
  const described = discovery.parse(jsonOf(await send(server.url, { target: "/.well-known/trustwarden" })));
  return holdTicket(
    formatTicketValue({
      authoritiesSha256: described.authorities_sha256,
      server: server.url,
      ticket: ticketOf(owner, { scope, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) }),
    }),
  );
}

/** The agent of a ticket, as `warden` hands tickets out, held here. */
export async function holdTicket(ticket: string): Promise<TestHolder> {
  const directory = mkdtempSync(join(tmpdir(), "git-holder-"));
  const binding = bindToSameAccount(process.getuid?.() ?? 0);
  let source: LaunchedSource | undefined;
  const identity = await DeliveredIdentity.fromTicket({
    ticket,
    runtime: systemRuntime,
    events: {
      onChange: () => source?.publish(),
      onRevoked: () => source?.end(new TrustWardenError("no_identity")),
    },
  });
  source = new LaunchedSource({ identity, binding: () => binding });
  const socketPath = join(directory, "agent.sock");
  const api = await createWorkloadApi({ source, socketPath, now: () => nowSeconds(systemRuntime) });
  const { spiffe_id: spiffeId, instance_id: instanceId } = identity.answer;
  return {
    spiffeId,
    instanceId,
    socket: `unix://${socketPath}`,
    close: async () => {
      await api.close();
      await identity.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
