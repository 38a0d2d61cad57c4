/** Confirmations: what one admin wants to do and another one has to confirm, and what became of it. */

import { Link } from "@tanstack/react-router";
import { type ConfirmationView, confirmationList } from "@trustwarden/core/api/confirmations.ts";
import { type ReactElement, useState } from "react";
import { useApi } from "../api/use-api.ts";
import { useNames } from "../api/use-people.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Empty, ListChoices, Panel, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { CONFIRMATION_TONES } from "../parts/second-admin.tsx";
import { describeRequest, formatWho } from "./confirmation-words.ts";

/** The screen. */
export function Confirmations(): ReactElement {
  const [isAll, setAll] = useState(false);
  const list = useApi("/v1/confirmations", confirmationList);
  const shown = list.data?.confirmations.filter(({ state }) => isAll || isOpen(state)) ?? [];
  return (
    <>
      <header className="screen-head">
        <h1>Confirmations</h1>
        <p>
          Some things nobody does alone. One admin asks, another confirms exactly that, and it is done once.
        </p>
      </header>
      <Panel
        title={isAll ? "All of the last day" : "Waiting"}
        aside={<ListChoices isAll={isAll} onAll={setAll} onLook={() => void list.refetch()} />}
      >
        {list.isPending ? <Waiting what="Reading" /> : null}
        {list.isError ? <Problem error={list.error} retry={() => void list.refetch()} /> : null}
        {list.data !== undefined && shown.length === 0 ? (
          <Empty title="Nothing waits for a second admin" command="warden person link --role admin">
            What needs one is asked where it is tried: an admin’s invitation under People, and more. A place
            with one admin does none of it: the host’s operator invites a second one.
          </Empty>
        ) : null}
        {shown.length === 0 ? null : <ConfirmationTable confirmations={shown} />}
      </Panel>
    </>
  );
}

/** Whether somebody still has something to do about it. */
function isOpen(state: ConfirmationView["state"]): boolean {
  return state === "pending" || state === "confirmed";
}

function ConfirmationTable({
  confirmations,
}: {
  readonly confirmations: readonly ConfirmationView[];
}): ReactElement {
  const names = useNames();
  return (
    <Table columns={["What", "State", "Asked by", "Why", "Until"]}>
      {confirmations.map(({ id, state, asked_by: askedBy, reason, expires_at: expiresAt, ...request }) => (
        <tr key={id} data-state={state}>
          <td>
            <Link to="/confirmations/$id" params={{ id }}>
              {describeRequest(request)}
            </Link>
          </td>
          <td>
            <Badge tone={CONFIRMATION_TONES[state]}>{state}</Badge>
          </td>
          <td>{formatWho(askedBy, names)}</td>
          <td>{reason}</td>
          <td>{formatTime(expiresAt)}</td>
        </tr>
      ))}
    </Table>
  );
}
