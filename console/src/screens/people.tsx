/** People: who answers for agents, and who may look. */

import { linkAnswer, type SessionAnswer } from "@trustwarden/core/api/people.ts";
import { type ReactElement, useState } from "react";
import { useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { formatTime } from "../parts/format.ts";
import { Invitation } from "../parts/invitation.tsx";
import { Badge, Facts, Id, Panel } from "../parts/parts.tsx";
import { Outcome } from "../parts/second-admin.tsx";
import { MyPasskeys } from "./my-passkeys.tsx";
import { Organizations } from "./organizations.tsx";
import { PeopleList } from "./people-list.tsx";
import { ROLE_MEANINGS } from "./role-meanings.ts";
import { Tree } from "./tree.tsx";

/** The screen. */
export function People(): ReactElement {
  const session = useSession();
  return (
    <>
      <header className="screen-head">
        <h1>People</h1>
        <p>Behind every agent is a person with a passkey.</p>
      </header>
      <div className="grid-2">
        <Panel title="You">
          <You session={session} />
        </Panel>
        {session.roles.includes("admin") ? (
          <Panel title="Invite somebody">
            <Invite />
          </Panel>
        ) : null}
      </div>
      <MyPasskeys />
      {session.roles.some((role) => role !== "owner") ? <PeopleList /> : null}
      <Organizations />
      <Panel title="Owners">
        <Tree prefix="" />
      </Panel>
    </>
  );
}

function You({ session }: { readonly session: SessionAnswer }): ReactElement {
  return (
    <Facts
      facts={[
        ["Name", session.name],
        [
          "Roles",
          <span key="roles" className="chips">
            {session.roles.map((role) => (
              <Badge key={role} tone="plain">
                {role}
              </Badge>
            ))}
          </span>,
        ],
        ["Session ends", formatTime(session.expires_at)],
        ["Owner", session.owner_id === null ? "of nothing" : <Id key="owner" text={session.owner_id} />],
      ]}
    />
  );
}

function Invite(): ReactElement {
  const [role, setRole] = useState<string>("auditor");
  const inviting = useAct(linkAnswer);
  const invite = () => inviting.mutate({ path: "/v1/people/links", body: { roles: [role] } });
  return (
    <div className="panel-body stack">
      <label className="field">
        <span>As</span>
        <select value={role} onChange={(event) => setRole(event.target.value)}>
          {ROLE_MEANINGS.map(({ role: name, meaning }) => (
            <option key={name} value={name}>
              {name}: {meaning}
            </option>
          ))}
        </select>
      </label>
      <div className="row">
        <button type="button" disabled={inviting.isPending} onClick={invite}>
          Make a link
        </button>
      </div>
      <Outcome act={inviting} />
      {inviting.data === undefined ? null : <Invitation link={inviting.data} />}
    </div>
  );
}
