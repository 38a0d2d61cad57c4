/** Policies: what has a say in every decision, by name and digest. */

import { Link } from "@tanstack/react-router";
import { freezeAnswer } from "@trustwarden/core/api/approval.ts";
import { policyAnswer } from "@trustwarden/core/api/policy.ts";
import type { ReactElement } from "react";
import { useSession } from "../api/session.tsx";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "../parts/format.ts";
import { Command, Facts, Id, Panel, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Freeze, LoadPolicy } from "./policy-loading.tsx";
import { Replay } from "./replay.tsx";

/** The screen. */
export function Policies(): ReactElement {
  const policy = useApi("/v1/policy", policyAnswer);
  const freeze = useApi("/v1/policy/freeze", freezeAnswer);
  const { roles } = useSession();
  const isAdmin = roles.includes("admin");
  return (
    <>
      <header className="screen-head">
        <h1>Policies</h1>
        <p>Every one of them has to agree. What is missing, slow or odd is a no.</p>
      </header>
      {freeze.data === undefined ? null : (
        <Freeze freeze={freeze.data.freeze} isAdmin={isAdmin} onChanged={() => void freeze.refetch()} />
      )}
      <Panel title="In force">
        {policy.isPending ? <Waiting what="Reading" /> : null}
        {policy.isError ? <Problem error={policy.error} retry={() => void policy.refetch()} /> : null}
        {policy.data === undefined ? null : (
          <Table columns={["Name", "Digest", "Decided"]}>
            {policy.data.in_force.map(({ name, bundle_sha256: digest }) => (
              <tr key={digest}>
                <td>{name}</td>
                <td>
                  <Id text={digest} />
                </td>
                <td>
                  <Link to="/ledger" search={{ policy: digest }}>
                    Its decisions
                  </Link>
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Panel>
      <Panel title="Your own">
        <div className="panel-body stack">
          {policy.data?.custom == null ? (
            <p className="muted">
              No policy of your own is loaded. A bundle is signed, and takes effect everywhere at once.
            </p>
          ) : (
            <Facts
              facts={[
                ["Name", policy.data.custom.name],
                ["Version", String(policy.data.custom.version)],
                ["Signed by", policy.data.custom.key_id],
                ["Loaded", formatTime(policy.data.custom.loaded_at)],
              ]}
            />
          )}
          {isAdmin ? <LoadPolicy onDone={() => void policy.refetch()} /> : null}
          <Command text="warden policy load bundle.tar.gz" />
        </div>
      </Panel>
      {isAdmin || roles.includes("operator") ? <Replay /> : null}
    </>
  );
}
