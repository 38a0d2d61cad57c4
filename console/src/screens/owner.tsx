/** One owner: its agents, and the button that stops all of them. */
import { Link, useParams } from "@tanstack/react-router";
import { type ReactElement, useState } from "react";
import { useSession } from "../api/session.tsx";
import { Id, Panel } from "../parts/parts.tsx";
import { Stop } from "./stop.tsx";
import { Tree } from "./tree.tsx";

/** The page. */
export function Owner(): ReactElement {
  const { id } = useParams({ from: "/owners/$id" });
  const [isStopped, setStopped] = useState(false);
  const { roles, owner_id: own } = useSession();
  // An organization's admin stops its members' agents, one by one, and never the owner.
  const mayStop = own === id || roles.includes("operator") || roles.includes("admin");
  return (
    <>
      <header className="screen-head">
        <h1>Owner</h1>
        <p>
          <Id text={id} />
        </p>
        <span className="head-end">
          {mayStop ? (
            <Stop
              target={{ kind: "owner", id }}
              name="this owner"
              isStopped={isStopped}
              onStopped={() => setStopped(true)}
            />
          ) : null}
        </span>
      </header>
      <Panel
        title="Agents"
        aside={
          <Link to="/ledger" search={{ owner: id }}>
            What they did
          </Link>
        }
      >
        <Tree prefix="" root={id} />
      </Panel>
    </>
  );
}
