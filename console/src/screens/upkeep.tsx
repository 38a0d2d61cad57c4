/** What is done now and then: the ledger's next shard, the key of the secrets, a backup. */
import { turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { secretKeyAnswer } from "@trustwarden/core/api/secrets.ts";
import type { ReactElement } from "react";
import { useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { useApi } from "../api/use-api.ts";
import { formatCount } from "../parts/format.ts";
import { Command, Facts, Id, Panel, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Outcome } from "../parts/second-admin.tsx";

/** The panels. */
export function Upkeep(): ReactElement {
  const isAdmin = useSession().roles.includes("admin");
  return (
    <>
      <Panel title="The ledger’s next shard">
        <div className="panel-body stack">
          <p className="muted">
            The current log ends and the next one begins, chained to it. Nothing moves, and evidence goes over
            both.
          </p>
          {isAdmin ? <Turn /> : null}
          <Command text="warden ledger rotate" />
        </div>
      </Panel>
      <Panel title="The key of the secrets">
        <SecretKeys isAdmin={isAdmin} />
      </Panel>
      <Panel title="Backup">
        <div className="panel-body stack">
          <p className="muted">
            A backup is made beside the working server and sealed to a key that is elsewhere. It is made, and
            restored, on the server’s own terminal: what is in it is everything.
          </p>
          <Command text="warden backup-key backup" />
          <Command text="warden backup --recipient backup.pub /mnt/backups/monday.tw" />
        </div>
      </Panel>
    </>
  );
}

function Turn(): ReactElement {
  const turning = useAct(turnAnswer);
  return (
    <>
      <div className="row">
        <button
          type="button"
          disabled={turning.isPending}
          onClick={() => turning.mutate({ path: "/v1/ledger/turns", body: {} })}
        >
          Begin the next shard
        </button>
        <button
          type="button"
          disabled={turning.isPending}
          onClick={() => turning.mutate({ path: "/v1/ledger/turns", body: { new_key: true } })}
        >
          Begin it with a new key
        </button>
      </div>
      <Outcome act={turning} />
      {turning.data === undefined ? null : (
        <div role="status" data-turned={turning.data.shard ?? ""}>
          <Facts
            facts={[
              ["Begun", turning.data.origin],
              ["At entry", formatCount(turning.data.first)],
              ["Key, for witnesses", <Id key="vkey" text={turning.data.vkey} />],
            ]}
          />
        </div>
      )}
    </>
  );
}

function SecretKeys({ isAdmin }: { readonly isAdmin: boolean }): ReactElement {
  const keys = useApi("/v1/secret-keys", secretKeyAnswer);
  const rotating = useAct(secretKeyAnswer, () => void keys.refetch());
  if (keys.isError) return <Problem error={keys.error} retry={() => void keys.refetch()} />;
  if (keys.data === undefined) return <Waiting what="Reading" />;
  const { key_id: id, remaining } = keys.data;
  const begin = remaining === 0;
  return (
    <div className="panel-body stack">
      {id === null ? (
        <p className="muted">No secret is kept yet, so there is no key.</p>
      ) : (
        <p>
          In use: <Id text={id} />, {formatCount(remaining)} versions are not under it yet.
        </p>
      )}
      {isAdmin && id !== null ? (
        <div className="row">
          <button
            type="button"
            disabled={rotating.isPending}
            onClick={() =>
              rotating.mutate({ path: "/v1/secret-keys/rotation", body: { begin, reason: "console" } })
            }
          >
            {begin ? "Make the next key" : "Bring more versions under it"}
          </button>
        </div>
      ) : null}
      <Outcome act={rotating} />
      <Command text="warden secret rotate-key" />
    </div>
  );
}
