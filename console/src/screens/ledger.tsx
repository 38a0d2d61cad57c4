/** Ledger: search with the filters of the index, follow a job, take the evidence along. */

import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { type EventView, eventPage } from "@trustwarden/core/api/ledger.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { pathWith, pathWithTexts } from "../api/client.ts";
import { useApi } from "../api/use-api.ts";
import { formatAgentName, formatTime } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Empty, Panel, Table, Waiting } from "../parts/parts.tsx";
import { ReadProblem } from "../parts/read-problem.tsx";
import { OutcomeBadge } from "./answer.tsx";

const FILTERS = [
  ["agent", "Agent", "agt_…, inst-… or SPIFFE ID"],
  ["owner", "Owner", "own_…"],
  ["job", "Job", "as the agents name it"],
  ["action", "Action", "write:doc"],
  ["resource", "Resource", ""],
  ["kind", "Kind", "action, issue, revoke …"],
  ["outcome", "Outcome", "success, denied, pending …"],
  ["policy", "Policy", "name or digest"],
  ["since", "Since", "2026-11-22T08:00:00Z"],
  ["until", "Until", "2026-11-22T09:00:00Z"],
] as const;
const LIMIT = 50;

type Name = (typeof FILTERS)[number][0] | "cursor";
/** What is asked for, as the address says it. */
export type LedgerSearch = { readonly [name in Name]?: string };

/** The known filters of an address. */
export function parseLedgerSearch(search: Record<string, unknown>): LedgerSearch {
  const names: readonly Name[] = [...FILTERS.map(([name]) => name), "cursor"];
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = search[name];
      return typeof value === "string" && value !== "" ? [[name, value]] : [];
    }),
  );
}

/** The screen. */
export function Ledger(): ReactElement {
  const search = useSearch({ from: "/ledger" });
  const isJob = search.job !== undefined;
  const path = pathWithTexts("/v1/events", { ...search, limit: LIMIT, order: isJob ? "oldest" : undefined });
  const page = useApi(path, eventPage);
  return (
    <>
      <header className="screen-head">
        <h1>Ledger</h1>
        <p>Everything that was asked, decided and done, in an order that nobody can change unseen.</p>
      </header>
      <Panel
        title="Search"
        aside={
          <span className="row">
            <EvidenceLink search={search} />
            <button type="button" onClick={() => void page.refetch()}>
              Look again
            </button>
          </span>
        }
      >
        <Filters key={JSON.stringify(search)} search={search} />
        {page.isPending ? <Waiting what="Searching" /> : null}
        {page.isError ? <ReadProblem of={page} path={path} answer={eventPage} /> : null}
        {page.data === undefined ? null : <Found events={page.data.events} job={search.job} />}
        {page.data === undefined ? null : (
          <Pages search={search} next={page.data.next_cursor} previous={page.data.previous_cursor} />
        )}
      </Panel>
    </>
  );
}

function EvidenceLink({ search }: { readonly search: LedgerSearch }): ReactElement | null {
  const { agent, job, since, until } = search;
  const isAgent = agent?.startsWith("agt_") === true;
  if (job === undefined && !isAgent) return null;
  const asked = job === undefined ? { agent } : { job };
  return (
    <a className="button" href={pathWith("/v1/evidence", { ...asked, since, until })} download="evidence.twb">
      <Icon name="download" /> Evidence
    </a>
  );
}

function Filters({ search }: { readonly search: LedgerSearch }): ReactElement {
  const navigate = useNavigate();
  const [isOpen, setOpen] = useState(Object.keys(search).length > 0);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    void navigate({ to: "/ledger", search: parseLedgerSearch(Object.fromEntries(form)) });
  };
  return (
    <details open={isOpen} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary className="summary">Filters</summary>
      <form className="filters" onSubmit={submit}>
        {FILTERS.map(([name, label, hint]) => (
          <label className="field" key={name}>
            <span>{label}</span>
            <input name={name} defaultValue={search[name] ?? ""} placeholder={hint} spellCheck={false} />
          </label>
        ))}
        <div className="row">
          <button type="submit" className="primary">
            Search
          </button>
          <Link to="/ledger" search={{}} className="button">
            Clear
          </Link>
        </div>
      </form>
    </details>
  );
}

function Found({
  events,
  job,
}: {
  readonly events: readonly EventView[];
  readonly job: string | undefined;
}): ReactElement {
  if (events.length === 0) {
    return (
      <Empty title="Nothing matches" command="warden ledger query --help">
        Take a filter away, or widen the time.
      </Empty>
    );
  }
  return job === undefined ? <EventTable events={events} /> : <Timeline job={job} events={events} />;
}

/** Events as lines; a line leads to its proof. */
export function EventTable({ events }: { readonly events: readonly EventView[] }): ReactElement {
  return (
    <Table columns={["When", "Who", "What", "How it ended"]}>
      {events.map((event) => (
        <tr key={event.indexes.join()}>
          <td>
            <time dateTime={event.timestamp}>{formatTime(event.timestamp)}</time>
          </td>
          <td>
            {event.agent_identity === null ? event.authorized_by : formatAgentName(event.agent_identity)}
          </td>
          <td>
            <Link to="/question" search={{ q: event.event_id }}>
              {event.action ?? event.kind}
            </Link>{" "}
            <code>{event.resource}</code>
          </td>
          <td>
            <OutcomeBadge outcome={event.outcome} />{" "}
            {event.reasons.length === 0 ? null : <span className="muted">{event.reasons.join(", ")}</span>}
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Timeline({
  job,
  events,
}: {
  readonly job: string;
  readonly events: readonly EventView[];
}): ReactElement {
  return (
    <ol className="timeline" aria-label={`What was done for ${job}`}>
      {events.map((event) => (
        <li key={event.indexes.join()} className={event.outcome === "denied" ? "is-denied" : ""}>
          <time className="muted" dateTime={event.timestamp}>
            {formatTime(event.timestamp)}
          </time>
          <div className="row">
            <strong>{formatAgentName(event.agent_identity)}</strong>
            <Link to="/question" search={{ q: event.event_id }}>
              {event.action ?? event.kind}
            </Link>
            <OutcomeBadge outcome={event.outcome} />
            {event.reasons.length === 0 ? null : <span className="muted">{event.reasons.join(", ")}</span>}
          </div>
          <code>{event.resource}</code>
        </li>
      ))}
    </ol>
  );
}

function Pages({
  search,
  next,
  previous,
}: {
  readonly search: LedgerSearch;
  readonly next: string | null;
  readonly previous: string | null;
}): ReactElement | null {
  if (next === null && previous === null) return null;
  return (
    <nav className="panel-body row" aria-label="Pages">
      {previous === null ? null : (
        <Link to="/ledger" search={{ ...search, cursor: previous }} className="button">
          Page before
        </Link>
      )}
      {next === null ? null : (
        <Link to="/ledger" search={{ ...search, cursor: next }} className="button">
          Next page
        </Link>
      )}
    </nav>
  );
}
