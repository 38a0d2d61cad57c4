/** A new agent: its owner says what it may do and signs that by a passkey; the ticket is shown once. */
import { useMutation } from "@tanstack/react-query";
import { draftTicket, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { ticketAnswer } from "@trustwarden/core/api/identity.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { beginDocument } from "../api/document.ts";
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
      const begun = await beginDocument(TICKET_SECONDS);
      const ticket: Ticket = { ...begun, ...meantBy(wanted), owner: session.owner_id ?? "" };
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
function meantBy({ path, name, scope, hours }: Wanted) {
  return {
    kind: "agent",
    path: path.trim(),
    name: name.trim(),
    scope: parseScope(scope.split(/\s+/).filter((atom) => atom !== "")),
    ttl_seconds: Math.round(Number(hours) * HOUR_SECONDS),
    limits: LIMITS,
  } as const;
}
