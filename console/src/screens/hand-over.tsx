/** An agent goes from one owner to another: one offers it, the other takes it, each by its own passkey over the same bytes. */
import { useMutation } from "@tanstack/react-query";
import type { AgentView } from "@trustwarden/core/api/ledger.ts";
import { transferAnswer, transferOfferAnswer } from "@trustwarden/core/api/transfer.ts";
import {
  draftTransfer,
  parseOfferValue,
  parseUnverifiedTransfer,
  type Transfer,
} from "@trustwarden/core/transfer.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { beginDocument } from "../api/document.ts";
import { useSession } from "../api/session.tsx";
import { callSigned, signByPasskey } from "../api/sign.ts";
import { formatTime } from "../parts/format.ts";
import { Command, Id, Panel } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

/** As long as it takes to hand a text to somebody who waits for it. */
const OFFER_SECONDS = 600;

/** The giver's half; nothing for an agent that is not one's own, was made by another agent, or is stopped. */
export function HandOver({ agent }: { readonly agent: AgentView }): ReactElement | null {
  const session = useSession();
  const [to, setTo] = useState("");
  const { owner_id: from } = session;
  const offering = useMutation({
    mutationFn: async () => {
      const between = { agent: agent.agent_id, from: from ?? "", to: to.trim() };
      const transfer: Transfer = { ...(await beginDocument(OFFER_SECONDS)), ...between };
      const signed = await signByPasskey(session, (keyid) => draftTransfer(transfer, keyid));
      return callSigned({ path: "/v1/transfers", body: { transfer: signed }, answer: transferOfferAnswer });
    },
  });
  const isMine = agent.owner_id === from && agent.parent_agent_id === null && agent.status !== "revoked";
  if (!isMine) return null;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    offering.mutate();
  };
  return (
    <Panel title="Hand it over">
      <form className="stack" onSubmit={submit}>
        <label className="field">
          <span>To whom</span>
          <input
            value={to}
            required
            pattern="own_[0-7][0-9A-HJKMNP-TV-Z]{25}"
            maxLength={30}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => {
              setTo(event.target.value);
              offering.reset();
            }}
          />
          <small>The other owner&apos;s id (own_…), which stands on that one&apos;s page of agents.</small>
        </label>
        <button type="submit" disabled={offering.isPending}>
          Offer it, with your passkey
        </button>
      </form>
      {offering.isError ? <Problem error={offering.error} /> : null}
      {offering.data === undefined ? null : (
        <div className="stack" data-offered>
          <p>
            Give this to the other owner, who can take the agent until {formatTime(offering.data.expires_at)}.
            It is no secret. Stopping the agent withdraws it.
          </p>
          <Command text={offering.data.offer} />
        </div>
      )}
    </Panel>
  );
}

/** The receiver's half, for whoever is an owner. */
export function TakeAgent(): ReactElement | null {
  const session = useSession();
  const [text, setText] = useState("");
  const taking = useMutation({
    mutationFn: async () => {
      const offer = parseOfferValue(text.trim());
      const transfer = parseUnverifiedTransfer(offer);
      const acceptance = await signByPasskey(session, (keyid) => draftTransfer(transfer, keyid));
      const body = { offer, acceptance };
      return callSigned({ path: "/v1/transfers/acceptance", body, answer: transferAnswer });
    },
  });
  if (session.owner_id === null) return null;
  const offered = readOffer(text);
  const isMine = offered === null || offered.to === session.owner_id;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    taking.mutate();
  };
  return (
    <Panel title="Take an agent">
      <form className="stack" onSubmit={submit}>
        <p className="muted">
          Whoever gives you an agent needs your id: <Id text={session.owner_id} />
        </p>
        <label className="field">
          <span>Offer</span>
          <input
            value={text}
            required
            maxLength={8192}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => {
              setText(event.target.value);
              taking.reset();
            }}
          />
          <small>Begins with two1. Every instance of before ends, and the agent answers to you.</small>
        </label>
        {offered === null ? null : <Offered offered={offered} isMine={isMine} />}
        <button type="submit" disabled={taking.isPending || !isMine}>
          Take it, with your passkey
        </button>
      </form>
      {taking.isError ? <Problem error={taking.error} /> : null}
      {taking.data === undefined ? null : (
        <p role="status" data-taken>
          {taking.data.agent_id} is yours, with {taking.data.agents} agents in all. Let it come back with a
          new ticket.
        </p>
      )}
    </Panel>
  );
}

/** What the receiver would sign. */
function Offered({
  offered: { from, agent, until },
  isMine,
}: {
  readonly offered: ShownOffer;
  readonly isMine: boolean;
}): ReactElement {
  return (
    <p data-offer>
      <Id text={from} /> gives <Id text={agent} />, with all that it made, until {until}.
      {isMine ? "" : " It is for another owner: you cannot take it."}
    </p>
  );
}

type ShownOffer = Pick<Transfer, "agent" | "from" | "to"> & { readonly until: string };

/** Nothing while the text is no offer, or ends at no moment; taking it says why. */
function readOffer(text: string): ShownOffer | null {
  try {
    const { exp, ...transfer } = parseUnverifiedTransfer(parseOfferValue(text.trim()));
    return { ...transfer, until: formatTime(exp) };
  } catch {
    // Safe: only for showing it; taking it reads it again and refuses.
    return null;
  }
}
