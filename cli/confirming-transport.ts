/**
 * The admin socket of a host that waits for a second admin: a request that comes back as `confirmation_required` is asked about, exactly
 * as it was sent, and sent again with the confirmation's id when an admin has confirmed it in the console.
 */
import { confirmationView } from "@trustwarden/core/api/confirmations.ts";
import { parseUtf8 } from "@trustwarden/core/bytes.ts";
import { CONFIRMATION_HEADER } from "@trustwarden/core/confirmation.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { type ApiRequest, createClient, type Transport } from "./client.ts";

/** How a command is confirmed; see the options of the same names. */
export interface Confirming {
  /** What the second admin is told. */
  readonly ask?: string;
  /** `cnf_…` */
  readonly confirmation?: string;
}

/** Codes of what an admin's word is asked for. */
const WAITING = /"(?:confirmation_required|mass_export_unconfirmed)"/;

/** Sends with the id that was given; asks when there is a reason to be told. */
export function confirming(transport: Transport, { ask, confirmation }: Confirming): Transport {
  const headers = confirmation === undefined ? {} : { [CONFIRMATION_HEADER]: confirmation };
  return {
    close: () => transport.close(),
    send: async (request) => {
      const answer = await transport.send({ ...request, headers });
      const isAsking = ask !== undefined && answer.status === 403;
      if (isAsking && WAITING.test(parseUtf8(answer.body))) {
        return askFor(transport, request, ask);
      }
      return answer;
    },
  };
}

async function askFor(transport: Transport, request: ApiRequest, reason: string): Promise<never> {
  const { method, target } = request;
  const { id } = await createClient(transport).post({
    target: "/v1/confirmations",
    body: { method, target, body: parseUtf8(request.body), reason },
    schema: confirmationView,
  });
  const next = `Have an admin confirm ${id} in the console within the hour; then repeat the command with --confirmation ${id}.`;
  throw new TrustWardenError("confirmation_required", { next });
}
