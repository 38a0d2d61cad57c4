/** What nobody does alone: asked where it was tried, awaited there, and done there once another admin has confirmed it. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import {
  type ConfirmationView,
  confirmationDetail,
  confirmationView,
} from "@trustwarden/core/api/confirmations.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi, type ExactRequest, exactRequestOf, isApiError } from "../api/client.ts";
import type { Act } from "../api/use-act.ts";
import { formatTime } from "./format.ts";
import { Badge, type Tone, Waiting } from "./parts.tsx";
import { Problem } from "./problem.tsx";

const LOOK_MS = 4000;
/** Ten minutes; whoever looks on for longer asks by hand, so that an empty chair does not keep a session alive. */
const MAX_LOOKS = 150;

/** Refusals that a second admin's word lifts. */
const ASKED: readonly string[] = ["confirmation_required", "mass_export_unconfirmed"];

export const CONFIRMATION_TONES: Readonly<Record<ConfirmationView["state"], Tone>> = {
  pending: "warn",
  confirmed: "good",
  used: "good",
  refused: "bad",
  expired: "plain",
};

/** What came of an act that did not succeed: a second admin to ask, or a problem. */
export function Outcome<Answer>({ act }: { readonly act: Act<Answer> }): ReactElement | null {
  const { error, variables: asking } = act;
  if (error === null || asking === undefined) return null;
  if (!isApiError(error) || !ASKED.includes(error.code)) return <Problem error={error} />;
  return (
    <SecondAdmin
      request={exactRequestOf(asking)}
      onGo={(confirmation) => act.mutate({ ...asking, confirmation })}
    />
  );
}

/** Asks for one, and offers to do it when there is one. */
export function SecondAdmin({
  request,
  onGo,
}: {
  readonly request: ExactRequest;
  readonly onGo: (confirmation: string) => void;
}): ReactElement {
  const [reason, setReason] = useState("");
  const asking = useMutation({
    mutationFn: () =>
      callApi({ path: "/v1/confirmations", body: { ...request, reason }, answer: confirmationView }),
  });
  if (asking.data !== undefined) return <Awaited id={asking.data.id} onGo={onGo} />;
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    asking.mutate();
  };
  return (
    <form className="second-admin stack" onSubmit={submit}>
      <p role="status">Nobody does this alone. A second admin has to confirm exactly this first.</p>
      <label className="field">
        <span>Why, for the second admin</span>
        <input
          value={reason}
          required
          maxLength={256}
          autoComplete="off"
          onChange={(event) => setReason(event.target.value)}
        />
        <small>Not in the ledger</small>
      </label>
      <div className="row">
        <button type="submit" disabled={asking.isPending}>
          Ask a second admin
        </button>
      </div>
      {asking.isError ? <Problem error={asking.error} /> : null}
    </form>
  );
}

function Awaited({
  id,
  onGo,
}: {
  readonly id: string;
  readonly onGo: (confirmation: string) => void;
}): ReactElement {
  const found = useQuery({
    queryKey: ["awaited", id],
    queryFn: ({ signal }) => callApi({ path: `/v1/confirmations/${id}`, answer: confirmationDetail, signal }),
    staleTime: 0,
    refetchInterval: ({ state: { data, dataUpdateCount } }) =>
      (data === undefined || data.state === "pending") && dataUpdateCount < MAX_LOOKS ? LOOK_MS : false,
  });
  if (found.isError) return <Problem error={found.error} retry={() => void found.refetch()} />;
  if (found.data === undefined) return <Waiting what="Asking" />;
  const { state, expires_at: expiresAt } = found.data;
  return (
    <div className="second-admin stack" data-awaited={state}>
      <p role="status">
        <Badge tone={CONFIRMATION_TONES[state]}>{state}</Badge>{" "}
        {state === "pending"
          ? `Another admin finds it under Confirmations, until ${formatTime(expiresAt)}.`
          : MEANINGS[state]}
      </p>
      <div className="row">
        {state === "confirmed" ? (
          <button type="button" className="primary" onClick={() => onGo(id)}>
            Do it now
          </button>
        ) : null}
        {state === "pending" ? (
          <button type="button" onClick={() => void found.refetch()}>
            Look again
          </button>
        ) : null}
        <Link to="/confirmations/$id" params={{ id }}>
          What was asked
        </Link>
      </div>
    </div>
  );
}

const MEANINGS: Readonly<Record<Exclude<ConfirmationView["state"], "pending">, string>> = {
  confirmed: "Another admin has confirmed it. It is done once, and by you.",
  used: "It was confirmed, and it is done.",
  refused: "Another admin does not want it.",
  expired: "Nobody answered within the hour.",
};
