/** Approvals: what waits for a human, exactly what would be done, and what was answered. */

import { Link } from "@tanstack/react-router";
import { type ApprovalView, approvalList } from "@trustwarden/core/api/approval.ts";
import { type ReactElement, useState } from "react";
import { pathWith } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { useApi } from "../api/use-api.ts";
import { formatAgentName, formatTime } from "../parts/format.ts";
import { Badge, Command, Empty, Facts, ListChoices, Panel, type Tone, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { ApprovalAnswer } from "./approval-answer.tsx";

const TONES: Readonly<Record<ApprovalView["status"], Tone>> = {
  pending: "warn",
  approved: "good",
  used: "good",
  denied: "bad",
  expired: "plain",
};

/** The screen. */
export function Approvals(): ReactElement {
  const [isAll, setAll] = useState(false);
  const list = useApi(pathWith("/v1/approvals", { state: isAll ? "all" : "pending" }), approvalList);
  return (
    <>
      <header className="screen-head">
        <h1>Approvals</h1>
        <p>Some actions wait for a human. The answer counts once, for exactly what is shown.</p>
      </header>
      <Panel
        title={isAll ? "All" : "Waiting"}
        aside={<ListChoices isAll={isAll} onAll={setAll} onLook={() => void list.refetch()} />}
      >
        {list.isPending ? <Waiting what="Reading" /> : null}
        {list.isError ? <Problem error={list.error} retry={() => void list.refetch()} /> : null}
        {list.data?.approvals.length === 0 ? (
          <Empty title="Nothing waits for a human" command="warden approvals list">
            An action waits when a policy says so; then it appears here.
          </Empty>
        ) : null}
        {list.data?.approvals.map((approval) => (
          <Request key={approval.id} approval={approval} onAnswered={() => void list.refetch()} />
        ))}
      </Panel>
    </>
  );
}

function Request({
  approval,
  onAnswered,
}: {
  readonly approval: ApprovalView;
  readonly onAnswered: () => void;
}): ReactElement {
  const { owner_id: ownerId } = useSession();
  const { id, status, agent, agent_id: agentId, action, resource, why, expires_at: expiresAt } = approval;
  return (
    <article className="request" data-status={status}>
      <header className="row">
        <h3>{action}</h3>
        <Badge tone={TONES[status]}>{status}</Badge>
      </header>
      {why === "" ? null : <p>{why}</p>}
      <Facts
        facts={[
          [
            "Agent",
            <Link key="agent" to="/agents/$id" params={{ id: agentId }}>
              {formatAgentName(agent)}
            </Link>,
          ],
          ["On", <code key="resource">{resource}</code>],
          ["Exactly this", <code key="parameters">{approval.parameters}</code>],
          ...(approval.body === null
            ? []
            : ([
                [
                  "Content",
                  <pre key="body" className="document">
                    {approval.body}
                  </pre>,
                ],
              ] as const)),
          [status === "pending" ? "Waits until" : "Asked until", formatTime(expiresAt)],
          ...(approval.used_by === null
            ? []
            : ([
                [
                  "Used by",
                  <Link key="used" to="/question" search={{ q: approval.used_by }}>
                    {approval.used_by}
                  </Link>,
                ],
              ] as const)),
        ]}
      />
      {status === "pending" && approval.owner_id === ownerId ? (
        <ApprovalAnswer approval={approval} onAnswered={onAnswered} />
      ) : null}
      {status === "pending" && approval.owner_id !== ownerId ? (
        <div className="stack">
          <p className="muted">The answer is its owner’s alone: in its own browser, or where its key is:</p>
          <Command text={`warden approvals approve ${id} --as owner`} />
        </div>
      ) : null}
    </article>
  );
}
