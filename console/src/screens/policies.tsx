/** Policies: what has a say in every decision, by name and digest. */

import { Link } from "@tanstack/react-router";
import { freezeAnswer } from "@trustwarden/core/api/approval.ts";
import { policyAnswer } from "@trustwarden/core/api/policy.ts";
import type { ReactElement } from "react";
import { useSession } from "../api/session.tsx";
import { useApi } from "../api/use-api.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Command, Facts, Id, Panel, Table, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Replay } from "./replay.tsx";

/** The screen. */
export function Policies(): ReactElement {
  const policy = useApi("/v1/policy", policyAnswer);
  const { roles } = useSession();
  return (
    <>
      <header className="screen-head">
        <h1>Policies</h1>
        <p>Every one of them has to agree. What is missing, slow or odd is a no.</p>
      </header>
      <Freeze />
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
          <Command text="warden policy load bundle.tar.gz" />
        </div>
      </Panel>
      {roles.some((role) => role === "operator" || role === "admin") ? <Replay /> : null}
    </>
  );
}

function Freeze(): ReactElement | null {
  const { data } = useApi("/v1/policy/freeze", freezeAnswer);
  if (data?.freeze == null) return null;
  const { reason, since, until } = data.freeze;
  return (
    <Panel title="Freeze" aside={<Badge tone="warn">frozen</Badge>}>
      <Facts
        facts={[
          ["Why", reason],
          ["Since", formatTime(since)],
          ["Until", until === null ? "it is lifted" : formatTime(until)],
        ]}
      />
    </Panel>
  );
}
