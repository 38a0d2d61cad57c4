/** Organizations: who belongs together. An admin of the place makes and fills them; an organization's own admin sees who is in it. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import {
  organizationDetail,
  organizationEnded,
  organizationList,
  organizationView,
} from "@trustwarden/core/api/organizations.ts";
import { type ReactElement, type SubmitEvent, useState } from "react";
import { callApi } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { Badge, Empty, Panel, Table } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Outcome } from "../parts/second-admin.tsx";

const PAGE = 100;
const LIST = ["organizations"];

/** Every organization, for who sees everybody; for others those that they look after. */
export function Organizations(): ReactElement | null {
  const { roles, organizations } = useSession();
  const isWide = roles.some((role) => role !== "owner");
  const all = useQuery({
    queryKey: LIST,
    queryFn: ({ signal }) =>
      callApi({ path: `/v1/organizations?limit=${PAGE}`, answer: organizationList, signal }),
    enabled: isWide,
  });
  const own = organizations.filter(({ role }) => role === "admin");
  const shown = isWide ? (all.data?.organizations ?? []) : own;
  if (!isWide && own.length === 0) return null;
  return (
    <Panel title="Organizations">
      <div className="panel-body stack">
        {all.isError ? <Problem error={all.error} /> : null}
        {shown.length === 0 ? (
          <Empty title="No organization yet" command="warden organization create payments">
            Whoever looks after one sees and stops the agents of its members.
          </Empty>
        ) : null}
        {shown.map(({ organization_id: id, name }) => (
          <details key={id} data-organization={name}>
            <summary>{name}</summary>
            <Members id={id} />
          </details>
        ))}
        {all.data?.next_cursor == null ? null : <p className="muted">More: warden organization list</p>}
        {roles.includes("admin") ? <NewOrganization /> : null}
      </div>
    </Panel>
  );
}

function NewOrganization(): ReactElement {
  const [name, setName] = useState("");
  const queries = useQueryClient();
  const making = useAct(organizationView, () => void queries.invalidateQueries({ queryKey: LIST }));
  const make = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    making.mutate({ path: "/v1/organizations", body: { name } });
  };
  return (
    <form className="stack" onSubmit={make}>
      <label className="field">
        <span>Name of a new organization</span>
        <input
          value={name}
          required
          maxLength={63}
          pattern="[a-z0-9][a-z0-9._\-]*"
          onChange={(event) => setName(event.target.value)}
        />
      </label>
      <div className="row">
        <button type="submit" disabled={making.isPending}>
          Make the organization
        </button>
      </div>
      <Outcome act={making} />
    </form>
  );
}

function Members({ id }: { readonly id: string }): ReactElement {
  const { roles } = useSession();
  const queries = useQueryClient();
  const key = [...LIST, id];
  const detail = useQuery({
    queryKey: key,
    queryFn: ({ signal }) =>
      callApi({ path: `/v1/organizations/${id}?limit=${PAGE}`, answer: organizationDetail, signal }),
  });
  const onChanged = () => void queries.invalidateQueries({ queryKey: LIST });
  const changing = useAct(organizationView, onChanged);
  const ending = useAct(organizationEnded, onChanged);
  const isAdmin = roles.includes("admin");
  const remove = (person: string) =>
    changing.mutate({ path: `/v1/organizations/${id}/members/removal`, body: { person } });
  if (detail.isError) return <Problem error={detail.error} />;
  return (
    <div className="stack">
      <Table columns={["Member", "There", "Agents", "Remove"]}>
        {(detail.data?.people ?? []).map(({ person_id: person, name, role, owner_id: owner }) => (
          <tr key={person} data-member={name}>
            <td>{name}</td>
            <td>
              <Badge tone="plain">{role}</Badge>
            </td>
            <td>
              {owner === null ? (
                "answers for none"
              ) : (
                <Link to="/owners/$id" params={{ id: owner }}>
                  agents of {name}
                </Link>
              )}
            </td>
            <td>
              {isAdmin ? (
                <button type="button" aria-label={`Remove ${name}`} onClick={() => remove(person)}>
                  Remove
                </button>
              ) : null}
            </td>
          </tr>
        ))}
      </Table>
      {isAdmin ? (
        <>
          <AddMember
            isBusy={changing.isPending}
            onAdd={(body) => changing.mutate({ path: `/v1/organizations/${id}/members`, body })}
          />
          <Outcome act={changing} />
          <div className="row">
            <button
              type="button"
              className="danger"
              onClick={() => ending.mutate({ path: `/v1/organizations/${id}/removal`, body: {} })}
            >
              End this organization
            </button>
          </div>
          <Outcome act={ending} />
        </>
      ) : null}
    </div>
  );
}

function AddMember({
  isBusy,
  onAdd,
}: {
  readonly isBusy: boolean;
  readonly onAdd: (body: { readonly person: string; readonly role: string }) => void;
}): ReactElement {
  const [person, setPerson] = useState("");
  const [role, setRole] = useState("member");
  const add = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    onAdd({ person: person.trim(), role });
  };
  return (
    <form className="stack" onSubmit={add}>
      <label className="field">
        <span>Id of somebody in the list above (prs_…)</span>
        <input value={person} required maxLength={30} onChange={(event) => setPerson(event.target.value)} />
      </label>
      <label className="field">
        <span>There as</span>
        <select value={role} onChange={(event) => setRole(event.target.value)}>
          <option value="member">member</option>
          <option value="admin">admin: sees and stops the members’ agents</option>
        </select>
      </label>
      <div className="row">
        <button type="submit" disabled={isBusy}>
          Add, or change
        </button>
      </div>
    </form>
  );
}
