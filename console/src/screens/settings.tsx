/** Settings: whom this browser believes, the keys of the authority, and other trust domains. */

import { useQuery } from "@tanstack/react-query";
import { authorityAnswer } from "@trustwarden/core/api/authority.ts";
import type { ReactElement } from "react";
import { useSession } from "../api/session.tsx";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Command, Facts, Id, Panel, Table, type Tone, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { type AnchorState, pin, readAnchors } from "../verify/anchors.ts";
import { AuthoritySteps } from "./authority-steps.tsx";
import { Federations } from "./federations.tsx";
import { Upkeep } from "./upkeep.tsx";

/** The screen. */
export function Settings(): ReactElement {
  return (
    <>
      <header className="screen-head">
        <h1>Settings</h1>
        <p>What everything else rests on.</p>
      </header>
      <Panel title="Whom this browser believes">
        <Believed />
      </Panel>
      <Panel title="Keys of the authority">
        <AuthorityKeys />
      </Panel>
      <Panel title="Other trust domains">
        <Federations />
      </Panel>
      <Upkeep />
    </>
  );
}

function Believed(): ReactElement {
  const anchors = useQuery({ queryKey: ["anchors"], queryFn: readAnchors });
  if (anchors.isError) return <Problem error={anchors.error} retry={() => void anchors.refetch()} />;
  if (anchors.data === undefined) return <Waiting what="Reading" />;
  const { pinned, offered, isSame } = anchors.data;
  return (
    <>
      <AnchorFacts anchors={pinned} />
      {isSame ? (
        <div className="panel-body stack">
          <p className="muted">
            Pinned on {formatTime(pinned.pinnedAt)}, when this browser first saw this server. Compare the
            log’s key once with the one that the server’s own terminal exports:
          </p>
          <Command text="warden ledger export ./log" />
        </div>
      ) : (
        <div className="panel-body stack" role="alert">
          <p>
            <Badge tone="bad">changed</Badge> The server shows other keys now. After a rotation that is so;
            otherwise it is not the server that you knew. Compare them on the server’s own terminal first:{" "}
            <code>warden ledger export ./log</code>
          </p>
          <AnchorFacts anchors={offered} />
          <div className="row">
            <button
              type="button"
              onClick={() => {
                pin(offered);
                void anchors.refetch();
              }}
            >
              Believe these from now on
            </button>
          </div>
        </div>
      )}
    </>
  );
}

function AnchorFacts({ anchors }: { readonly anchors: AnchorState["pinned"] }): ReactElement {
  return (
    <Facts
      facts={[
        ["Trust domain", anchors.trustDomain],
        ["Roots", <Id key="roots" text={anchors.authoritiesSha256} />],
        ["Log", <Id key="log" text={anchors.vkey} />],
        [
          "Witnesses",
          anchors.policy === null ? (
            "none asked: the log’s own word is all there is"
          ) : (
            <pre key="policy" className="document">
              {anchors.policy}
            </pre>
          ),
        ],
      ]}
    />
  );
}

const KEY_TONES: Readonly<Record<string, Tone>> = {
  active: "good",
  tainted: "bad",
  revoked: "bad",
  prepared: "warn",
};

function AuthorityKeys(): ReactElement {
  const authority = useApi("/v1/authority", authorityAnswer);
  const isAdmin = useSession().roles.includes("admin");
  if (authority.isError) return <Problem error={authority.error} />;
  if (authority.data === undefined) return <Waiting what="Reading" />;
  return (
    <>
      <Table columns={["Kind", "State", "Key", "Custody", "Ends"]}>
        {authority.data.keys.map(({ id, kind, state, custody, expires_at: end }) => (
          <tr key={`${kind} ${id}`}>
            <td>{kind}</td>
            <td>
              <Badge tone={KEY_TONES[state] ?? "plain"}>{state}</Badge>
            </td>
            <td>
              <Id text={id} />
            </td>
            <td>{custody}</td>
            <td>{end === null ? "" : formatTime(end)}</td>
          </tr>
        ))}
      </Table>
      {isAdmin ? <AuthoritySteps keys={authority.data.keys} onDone={() => void authority.refetch()} /> : null}
      <div className="panel-body">
        <Command text="warden ca rotate --kind intermediate" />
      </div>
    </>
  );
}
