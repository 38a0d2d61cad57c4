/** Everybody who may come, and who might once: what they may do, and for admins what changes that. */
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { linkAnswer, type PersonView, personView } from "@trustwarden/core/api/people.ts";
import type { Role } from "@trustwarden/core/role.ts";
import { type ReactElement, useRef, useState } from "react";
import { SESSION_KEY, useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { usePeople } from "../api/use-people.ts";
import { formatTime } from "../parts/format.ts";
import { Invitation } from "../parts/invitation.tsx";
import { Badge, Id, Panel, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Outcome } from "../parts/second-admin.tsx";
import { ROLE_MEANINGS } from "./role-meanings.ts";

/** The panel. */
export function PeopleList(): ReactElement {
  const [cursor, setCursor] = useState("");
  const list = usePeople(cursor);
  const queries = useQueryClient();
  const onChanged = () => {
    void list.refetch();
    void queries.invalidateQueries({ queryKey: SESSION_KEY });
  };
  const next = list.data?.next_cursor ?? null;
  return (
    <Panel
      title="Everybody"
      aside={
        <span className="row">
          {cursor === "" ? null : (
            <button type="button" onClick={() => setCursor("")}>
              From the beginning
            </button>
          )}
          {next === null ? null : (
            <button type="button" onClick={() => setCursor(next)}>
              More
            </button>
          )}
        </span>
      }
    >
      {list.isPending ? <Waiting what="Reading" /> : null}
      {list.isError ? <Problem error={list.error} retry={() => void list.refetch()} /> : null}
      {list.data === undefined ? null : (
        <Table columns={["Name", "May", "Passkeys", "Since", "Change"]}>
          {list.data.people.map((person) => (
            <PersonRow key={person.person_id} person={person} onChanged={onChanged} />
          ))}
        </Table>
      )}
    </Panel>
  );
}

function PersonRow({
  person,
  onChanged,
}: {
  readonly person: PersonView;
  readonly onChanged: () => void;
}): ReactElement {
  const { roles: ownRoles } = useSession();
  const {
    person_id: id,
    name,
    roles,
    owner_id: ownerId,
    passkeys,
    created_at: since,
    ended_at: end,
  } = person;
  return (
    <tr data-person={name}>
      <td>
        {ownerId === null ? (
          name
        ) : (
          <Link to="/owners/$id" params={{ id: ownerId }}>
            {name}
          </Link>
        )}{" "}
        <Id text={id} />
      </td>
      <td>
        <span className="chips">
          {end === null ? (
            roles.map((role) => (
              <Badge key={role} tone="plain">
                {role}
              </Badge>
            ))
          ) : (
            <Badge tone="bad">ended</Badge>
          )}
        </span>
      </td>
      <td>{passkeys}</td>
      <td>{end === null ? formatTime(since) : `until ${formatTime(end)}`}</td>
      <td>
        {end === null && ownRoles.includes("admin") ? <Change person={person} onChanged={onChanged} /> : null}
      </td>
    </tr>
  );
}

function Change({
  person,
  onChanged,
}: {
  readonly person: PersonView;
  readonly onChanged: () => void;
}): ReactElement {
  const dialog = useRef<HTMLDialogElement>(null);
  const { person_id: id, name } = person;
  return (
    <>
      <button type="button" aria-label={`Change ${name}`} onClick={() => dialog.current?.showModal()}>
        Change
      </button>
      <dialog ref={dialog} aria-labelledby={`change-${id}`}>
        <h2 id={`change-${id}`}>{name}</h2>
        <p>
          <Id text={id} />
        </p>
        <Roles key={person.roles.join(" ")} person={person} onChanged={onChanged} />
        <Recovery person={person} />
        <End person={person} onChanged={onChanged} />
        <div className="dialog-foot">
          <button type="button" onClick={() => dialog.current?.close()}>
            Close
          </button>
        </div>
      </dialog>
    </>
  );
}

function Roles({
  person,
  onChanged,
}: {
  readonly person: PersonView;
  readonly onChanged: () => void;
}): ReactElement {
  const [roles, setRoles] = useState<readonly Role[]>(person.roles);
  const changing = useAct(personView, onChanged);
  const change = () => changing.mutate({ path: `/v1/people/${person.person_id}/roles`, body: { roles } });
  const toggle = (role: Role) =>
    setRoles(roles.includes(role) ? roles.filter((other) => other !== role) : [...roles, role]);
  return (
    <fieldset className="stack">
      <legend>What {person.name} may be, from its next request on</legend>
      {ROLE_MEANINGS.map(({ role, meaning }) => (
        <label key={role} className="check">
          <input
            type="checkbox"
            checked={roles.includes(role)}
            // An owner's key comes with an invitation.
            disabled={role === "owner" && !person.roles.includes("owner")}
            onChange={() => toggle(role)}
          />
          <span>
            {role}: {meaning}
          </span>
        </label>
      ))}
      <div className="row">
        <button type="button" disabled={roles.length === 0 || changing.isPending} onClick={change}>
          Change the roles
        </button>
      </div>
      <Outcome act={changing} />
    </fieldset>
  );
}

/** For who has lost every passkey: nothing of before counts once the link is used. */
function Recovery({ person }: { readonly person: PersonView }): ReactElement {
  const recovering = useAct(linkAnswer);
  const recover = () => recovering.mutate({ path: "/v1/people/links", body: { person: person.person_id } });
  return (
    <fieldset className="stack">
      <legend>Every passkey is lost</legend>
      <p className="muted">
        A link for {person.name} to come in with a new passkey. Every session, passkey and open link of before
        ends when it is used.
      </p>
      <div className="row">
        <button type="button" disabled={recovering.isPending} onClick={recover}>
          Make a link for {person.name}
        </button>
      </div>
      <Outcome act={recovering} />
      {recovering.data === undefined ? null : <Invitation link={recovering.data} />}
    </fieldset>
  );
}

function End({
  person,
  onChanged,
}: {
  readonly person: PersonView;
  readonly onChanged: () => void;
}): ReactElement {
  const [suspends, setSuspends] = useState(false);
  const ending = useAct(personView, onChanged);
  const body = suspends ? { subtree: "suspend" } : {};
  const end = () => ending.mutate({ path: `/v1/people/${person.person_id}/end`, body });
  return (
    <fieldset className="stack">
      <legend>The end</legend>
      <p className="muted">
        Every session, every passkey and every open link of {person.name} ends, for good. What was done stays
        in the ledger.
      </p>
      {person.owner_id === null ? null : (
        <label className="check">
          <input type="checkbox" checked={suspends} onChange={() => setSuspends(!suspends)} />
          <span>Stop every agent that {person.name} answers for; nobody signs for them any more</span>
        </label>
      )}
      <div className="row">
        <button type="button" className="danger" disabled={ending.isPending} onClick={end}>
          End {person.name}’s access
        </button>
      </div>
      <Outcome act={ending} />
    </fieldset>
  );
}
