/** One agent: where it comes from, what it may, what proves it, what it does, and the button that stops it. */

import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { type AgentView, agentView, eventPage } from "@trustwarden/core/api/ledger.ts";
import { isWide } from "@trustwarden/core/role.ts";
import type { ReactElement } from "react";
import { callApi, pathWith } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { useApi } from "../api/use-api.ts";
import { useOwnerName } from "../api/use-people.ts";
import { Custody, type CustodyStep } from "../parts/custody.tsx";
import { formatCount, formatSpan, formatTime } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Badge, Empty, Id, Panel, StatusBadge, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Could } from "./could.tsx";
import { CouldSearch } from "./could-search.tsx";
import { HandOver } from "./hand-over.tsx";
import { EventTable } from "./ledger.tsx";
import { ScopeOf } from "./scope.tsx";
import { Stop } from "./stop.tsx";
import { Tree } from "./tree.tsx";

/** Deeper chains than delegation allows. */
const MAX_ANCESTORS = 32;
const SHOWN_INSTANCES = 20;

/** The agent and everyone above it, from the root down. */
async function readLine(id: string, signal: AbortSignal): Promise<readonly AgentView[]> {
  const line: AgentView[] = [];
  for (let next: string | null = id; next !== null && line.length < MAX_ANCESTORS; ) {
    const agent: AgentView = await callApi({ path: `/v1/agents/${next}`, answer: agentView, signal });
    line.unshift(agent);
    next = agent.parent_agent_id;
  }
  return line;
}

/** The page. */
export function Agent(): ReactElement {
  const { id } = useParams({ from: "/agents/$id" });
  const { roles } = useSession();
  const line = useQuery({ queryKey: ["line", id], queryFn: ({ signal }) => readLine(id, signal) });
  const agent = line.data?.at(-1);
  if (line.isError) return <Problem error={line.error} retry={() => void line.refetch()} />;
  if (line.data === undefined || agent === undefined) return <Waiting what="Reading the agent" />;
  const newest = agent.instances.find(({ status }) => status === "live") ?? agent.instances[0];
  return (
    <>
      <header className="screen-head">
        <h1>{agent.name}</h1>
        <StatusBadge status={agent.status} />
        <p>{agent.path}</p>
        <span className="head-end">
          <Stop
            target={{ kind: "agent", id: agent.agent_id }}
            name={agent.name}
            isStopped={agent.status === "revoked"}
            onStopped={() => void line.refetch()}
          />
        </span>
      </header>
      <Panel title="Who answers for it">
        <Chain line={line.data} />
      </Panel>
      <div className="grid-2">
        <Panel title="What it may do">
          <ScopeOf instance={newest} line={line.data} />
        </Panel>
        {isWide(roles) ? (
          <Panel title="Could it do this?">
            <Could agentId={agent.agent_id} />
            <CouldSearch agentId={agent.agent_id} />
          </Panel>
        ) : null}
      </div>
      <Panel
        title="Credentials"
        aside={
          <span className="muted">
            {formatCount(agent.instances.length)} {agent.instances.length === 1 ? "instance" : "instances"}
          </span>
        }
      >
        <Credentials agent={agent} />
      </Panel>
      <HandOver agent={agent} />
      <Panel title="Below it">
        <div className="tree-short">
          <Tree prefix="" root={agent.agent_id} />
        </div>
      </Panel>
      <Panel
        title="What it did"
        aside={
          <a
            className="button"
            href={pathWith("/v1/evidence", { agent: agent.agent_id })}
            download={`${agent.name}.twb`}
          >
            <Icon name="download" /> Evidence
          </a>
        }
      >
        <Activity id={agent.agent_id} />
      </Panel>
    </>
  );
}

function Chain({ line }: { readonly line: readonly AgentView[] }): ReactElement {
  const owner = line[0]?.owner_id ?? "";
  const name = useOwnerName()(owner);
  const human: CustodyStep = {
    id: owner,
    icon: "people",
    name: (
      <Link to="/owners/$id" params={{ id: owner }}>
        {owner}
      </Link>
    ),
    note: name,
  };
  const agents = line.map(
    ({ agent_id: id, name: agent, status }, depth): CustodyStep => ({
      id,
      icon: "agents",
      by: depth === 0 ? "answers for" : "created",
      name: (
        <Link to="/agents/$id" params={{ id }}>
          {agent}
        </Link>
      ),
      note: status === "live" ? null : <StatusBadge status={status} />,
      tone: status === "revoked" ? "bad" : "plain",
    }),
  );
  return <Custody steps={[human, ...agents]} />;
}

function Credentials({ agent }: { readonly agent: AgentView }): ReactElement {
  if (agent.instances.length === 0) {
    return (
      <Empty title="No instance was ever issued an identity" command="warden agent ticket --help">
        Its owner signs a ticket, and the program enrols with it.
      </Empty>
    );
  }
  return (
    <>
      <Table columns={["Instance", "Status", "Key", "Attested", "Issued", "Ends"]}>
        {agent.instances.slice(0, SHOWN_INSTANCES).map((instance) => (
          <tr key={instance.instance_id}>
            <td>
              <Link to="/question" search={{ q: instance.instance_id }}>
                <Id text={instance.instance_id} />
              </Link>
            </td>
            <td>
              <StatusBadge status={instance.status} />
            </td>
            <td>{CUSTODY[instance.custody]}</td>
            <td>
              <Badge tone={instance.attested.strength === "none" ? "plain" : "good"}>
                {instance.attested.strength}
              </Badge>
            </td>
            <td>{formatTime(instance.created_at)}</td>
            <td title={formatTime(instance.expires_at)}>{endOf(instance.expires_at)}</td>
          </tr>
        ))}
      </Table>
      {agent.instances.length > SHOWN_INSTANCES ? (
        <p className="panel-body muted">
          The newest {SHOWN_INSTANCES} of {formatCount(agent.instances.length)}.
        </p>
      ) : null}
    </>
  );
}

const CUSTODY = { agent: "in the agent", delivered: "delivered to it", sidecar: "beside it" } as const;

function endOf(expiresAt: number): string {
  const left = expiresAt - Date.now() / 1000;
  return left > 0 ? `in ${formatSpan(left)}` : `${formatSpan(left)} ago`;
}

function Activity({ id }: { readonly id: string }): ReactElement {
  const page = useApi(pathWith("/v1/events", { actor: id, limit: 20 }), eventPage);
  if (page.isError) return <Problem error={page.error} retry={() => void page.refetch()} />;
  if (page.data === undefined) return <Waiting what="Searching the ledger" />;
  if (page.data.events.length === 0) {
    return (
      <Empty title="It has done nothing yet" command="warden run --help">
        What it asks and what was decided appears here.
      </Empty>
    );
  }
  return (
    <>
      <EventTable events={page.data.events} />
      <p className="panel-body">
        <Link to="/ledger" search={{ agent: id }}>
          All of it, with what is below
        </Link>
      </p>
    </>
  );
}
