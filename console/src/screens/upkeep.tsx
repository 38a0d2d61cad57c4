/** What is done now and then: the ledger's next shard, the key of the secrets, a backup. */
import { useQuery } from "@tanstack/react-query";
import { type BackupsAnswer, backupsAnswer } from "@trustwarden/core/api/backups.ts";
import { turnAnswer } from "@trustwarden/core/api/ledger.ts";
import { secretKeyAnswer } from "@trustwarden/core/api/secrets.ts";
import type { ReactElement } from "react";
import { callApi } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { useAct } from "../api/use-act.ts";
import { useApi } from "../api/use-api.ts";
import { formatCount, formatTime } from "../parts/format.ts";
import { Badge, Command, Facts, Id, Panel, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Outcome } from "../parts/second-admin.tsx";

const BACKUPS = "/v1/backups";
const LOOK_MS = 2000;

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
            A backup is made beside the working server, sealed to a key that is elsewhere, and written to the
            place that the server’s settings name; it never comes through a browser. It is restored on the
            server’s own terminal, and what comes of that waits for two admins.
          </p>
          <Backups isAdmin={isAdmin} />
          <Command text="warden backup-key backup" />
          <Command text="warden backup --recipient backup.pub /mnt/backups/monday.tw" />
        </div>
      </Panel>
    </>
  );
}

function Backups({ isAdmin }: { readonly isAdmin: boolean }): ReactElement {
  const backups = useQuery({
    queryKey: ["api", BACKUPS],
    queryFn: ({ signal }) => callApi({ path: BACKUPS, answer: backupsAnswer, signal }),
    refetchInterval: ({ state: { data } }) => (data?.last?.state === "running" ? LOOK_MS : false),
  });
  const ordering = useAct(backupsAnswer, () => void backups.refetch());
  if (backups.isError) return <Problem error={backups.error} retry={() => void backups.refetch()} />;
  if (backups.data === undefined) return <Waiting what="Reading" />;
  const { configured, last } = backups.data;
  if (!configured)
    return (
      <p>
        None can be ordered here: <code>backup</code> in <code>server.json</code> names no place yet.
      </p>
    );
  return (
    <>
      {isAdmin ? (
        <div className="row">
          <button
            type="button"
            disabled={ordering.isPending || last?.state === "running"}
            onClick={() => ordering.mutate({ path: BACKUPS, body: {} })}
          >
            Order a backup
          </button>
        </div>
      ) : null}
      <Outcome act={ordering} />
      {last === null ? null : <LastBackup last={last} />}
    </>
  );
}

function LastBackup({ last }: { readonly last: NonNullable<BackupsAnswer["last"]> }): ReactElement {
  const { id, state, file, bytes, size, code } = last;
  const tone = { running: "plain", made: "good", failed: "bad" } as const;
  return (
    <div role="status" data-backup={state}>
      <p>
        <Badge tone={tone[state]}>{state}</Badge> {code ?? ""}
      </p>
      <Facts
        facts={[
          ["Ordered", formatTime(last.ordered_at)],
          ["In the ledger as", <Id key="id" text={`backup:${id}`} />],
          ...(file === null ? [] : ([["File", <Id key="file" text={file} />]] as const)),
          ...(bytes === null ? [] : ([["Bytes", formatCount(bytes)]] as const)),
          ...(size === null ? [] : ([["Entries", formatCount(size)]] as const)),
        ]}
      />
    </div>
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
