/** A new agent: its owner says what it may do and signs that by a passkey; the ticket is shown once. */
import { useMutation } from "@tanstack/react-query";
import { draftTicket, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { formatSpiffeId, parseTrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { discovery } from "@trustwarden/core/api/ledger.ts";
import { formatUlid } from "@trustwarden/core/id.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { callSigned, signByPasskey } from "../api/sign.ts";
import { Command, Panel } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

const TICKET_SECONDS = 3600;
const HOUR_SECONDS = 3600;
const LIMITS = { depth: 2, fan_out: 8, budget: null } as const;

/** What the person fills in. */
interface Wanted {
  readonly path: string;
  readonly name: string;
  readonly scope: string;
  readonly hours: string;
}

const NOTHING: Wanted = { path: "", name: "", scope: "", hours: "8" };

/** The form, for whoever is an owner. */
export function NewAgent(): ReactElement | null {
  const session = useSession();
  const [wanted, setWanted] = useState(NOTHING);
  const signing = useMutation({
    mutationFn: async () => {
      const found = await callApi({ path: "/.well-known/trustwarden", answer: discovery });
      const ticket = ticketOf(wanted, { ownerId: session.owner_id ?? "", trustDomain: found.trust_domain });
      const signed = await signByPasskey(session, (keyid) => draftTicket(ticket, keyid));
      return callSigned({ path: "/v1/tickets", body: { ticket: signed }, answer: ticketAnswer });
    },
    onSuccess: () => setWanted(NOTHING),
  });
  if (session.owner_id === null) return null;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    signing.mutate();
  };
  const field = (label: string, name: keyof Wanted, hint: string, isRequired = true): ReactElement => (
    <label className="field">
      <span>{label}</span>
      <input
        value={wanted[name]}
        required={isRequired}
        maxLength={1024}
        autoComplete="off"
        onChange={(event) => setWanted({ ...wanted, [name]: event.target.value })}
      />
      <small>{hint}</small>
    </label>
  );
  return (
    <Panel title="New agent">
      <form className="stack" onSubmit={submit}>
        {field("Name", "name", "Small letters, digits, - and _")}
        {field("Path", "path", "Such as team/finance; may be empty", false)}
        {field("May do", "scope", "Actions with spaces between, such as read:invoices write:reports")}
        {field("Lives for hours", "hours", "Its certificates are renewed within")}
        <button type="submit" disabled={signing.isPending}>
          Sign with your passkey
        </button>
      </form>
      {signing.isError ? <Problem error={signing.error} /> : null}
      {signing.data === undefined ? null : (
        <div className="stack" data-signed>
          <p>Signed by you. It makes one agent, within the hour, and is not shown again:</p>
          <Command text={`TRUSTWARDEN_TICKET=${signing.data.ticket}`} />
        </div>
      )}
    </Panel>
  );
}

/** What is signed: exactly what stands in the form. @throws TrustWardenError the codes of scopes and names. */
function ticketOf(
  { path, name, scope, hours }: Wanted,
  { ownerId, trustDomain }: { readonly ownerId: string; readonly trustDomain: string },
): Ticket {
  const now = Date.now();
  const iat = Math.floor(now / 1000);
  const atoms = scope.split(/\s+/).filter((atom) => atom !== "");
  return {
    v: 1,
    kind: "agent",
    jti: formatUlid(now, (length) => crypto.getRandomValues(new Uint8Array(length))),
    aud: formatSpiffeId(parseTrustDomain(trustDomain), []),
    iat,
    exp: iat + TICKET_SECONDS,
    owner: ownerId,
    path: path.trim(),
    name: name.trim(),
    scope: parseScope(atoms),
    ttl_seconds: Math.round(Number(hours) * HOUR_SECONDS),
    limits: LIMITS,
  };
}
