/** An agent that registered itself and shows a code: its owner reads what it asks for, and signs that by a passkey. */
import { useMutation } from "@tanstack/react-query";
import { draftTicket, type Ticket } from "@trustwarden/core/agentid/enrolment.ts";
import { acceptedClaim, type ClaimView, claimView } from "@trustwarden/core/api/claims.ts";
import { parseScope } from "@trustwarden/core/scope.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi } from "../api/client.ts";
import { beginDocument } from "../api/document.ts";
import { useSession } from "../api/session.tsx";
import { callSigned, signByPasskey } from "../api/sign.ts";
import { formatCount, formatSpan } from "../parts/format.ts";
import { Panel } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

/** The agent is waiting for it. */
const TICKET_SECONDS = 600;
/** Whoever wants it to have children says so in a ticket of its own. */
const LIMITS = { depth: 0, fan_out: 0, budget: null } as const;

/** The form, for whoever is an owner. */
export function ClaimAgent(): ReactElement | null {
  const session = useSession();
  const [code, setCode] = useState("");
  const finding = useMutation({
    mutationFn: () => callApi({ path: "/v1/claims/search", body: { code }, answer: claimView }),
  });
  if (session.owner_id === null) return null;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    finding.mutate();
  };
  return (
    <Panel title="Claim an agent">
      <form className="stack" onSubmit={submit}>
        <label className="field">
          <span>Claim code</span>
          <input
            value={code}
            required
            maxLength={64}
            autoComplete="off"
            autoCapitalize="characters"
            spellCheck={false}
            onChange={(event) => {
              setCode(event.target.value);
              finding.reset();
            }}
          />
          <small>
            An agent that starts without a ticket shows one, such as 7K2M-Q9TR-0XWF-3BHN. Until somebody
            claims it, it can do nothing.
          </small>
        </label>
        <button type="submit" disabled={finding.isPending}>
          Look it up
        </button>
      </form>
      {finding.isError ? <Problem error={finding.error} /> : null}
      {finding.data === undefined ? null : (
        <Answer key={finding.data.claim_id} code={code} claim={finding.data} />
      )}
    </Panel>
  );
}

/** What it asks for, and the signature. */
function Answer({ code, claim }: { readonly code: string; readonly claim: ClaimView }): ReactElement {
  const session = useSession();
  const signing = useMutation({
    mutationFn: async () => {
      const begun = await beginDocument(TICKET_SECONDS);
      const ticket: Ticket = { ...begun, ...meantBy(claim), owner: session.owner_id ?? "" };
      const signed = await signByPasskey(session, (keyid) => draftTicket(ticket, keyid));
      return callSigned({
        path: "/v1/claims/acceptance",
        body: { code, ticket: signed },
        answer: acceptedClaim,
      });
    },
  });
  const { path, name, scope, ttl_seconds, thumbprint } = claim;
  if (signing.data !== undefined)
    return (
      <p role="status" data-claimed>
        {signing.data.name} is yours, and goes on by itself.
      </p>
    );
  return (
    <div className="stack" data-claim>
      <p>
        <strong>{[path, name].filter((part) => part !== "").join("/")}</strong> asks to be yours, for{" "}
        {formatSpan(ttl_seconds)} ({formatCount(ttl_seconds)} s), and to be allowed to
        {scope.length === 0 ? " do nothing." : ":"}
      </p>
      <div className="chips">
        {scope.map((atom) => (
          <span key={atom} className="chip">
            {atom}
          </span>
        ))}
      </div>
      <p>
        Its key is <code>{thumbprint}</code>. What you sign is good for this key and no other.
      </p>
      <button type="button" disabled={signing.isPending} onClick={() => signing.mutate()}>
        Answer for it, with your passkey
      </button>
      {signing.isError ? <Problem error={signing.error} /> : null}
    </div>
  );
}

/** What is signed: exactly what is shown. @throws TrustWardenError the codes of scopes and names. */
function meantBy({ path, name, scope, ttl_seconds, thumbprint }: ClaimView) {
  return {
    kind: "agent",
    path,
    name,
    scope: parseScope(scope),
    ttl_seconds,
    limits: LIMITS,
    holder_thumbprint: thumbprint,
  } as const;
}
