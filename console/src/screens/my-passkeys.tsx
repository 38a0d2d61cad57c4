/** My passkeys: a second one for the day the first is lost, and the end of one that is. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { SessionAnswer } from "@trustwarden/core/api/people.ts";
import type { ReactElement } from "react";
import { goToProvider, listProviders } from "../api/identity-provider.ts";
import { addPasskey, giveWord, makeFirstPasskey, removePasskey } from "../api/passkey.ts";
import { SESSION_KEY, useSession } from "../api/session.tsx";
import { formatTime } from "../parts/format.ts";
import { Badge, Panel, Table } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";

/** Shorter than an id, longer than any two of one person's agree. */
const SHOWN_CHARS = 12;

/** The panel. */
export function MyPasskeys(): ReactElement {
  const session = useSession();
  const queries = useQueryClient();
  const onChanged = (changed: SessionAnswer) => queries.setQueryData(SESSION_KEY, changed);
  const removing = useMutation({
    mutationFn: (id: string) => removePasskey(session, id),
    onSuccess: onChanged,
  });
  const isOnly = session.passkeys.length === 1;
  return (
    <Panel title="Your passkeys">
      <Table columns={["Passkey", "Since", "Last used", "Remove"]}>
        {session.passkeys.map((passkey) => (
          <PasskeyRow
            key={passkey.credential_id}
            passkey={passkey}
            isOnly={isOnly}
            isBusy={removing.isPending}
            onRemove={removing.mutate}
          />
        ))}
      </Table>
      <div className="panel-body stack">
        {removing.isError ? <Problem error={removing.error} /> : null}
        {session.passkeys.length === 0 ? (
          <FirstPasskey session={session} onAdded={onChanged} />
        ) : (
          <>
            <AddPasskey session={session} onAdded={onChanged} />
            <AddIdentity session={session} />
          </>
        )}
      </div>
    </Panel>
  );
}

function PasskeyRow({
  passkey,
  isOnly,
  isBusy,
  onRemove,
}: {
  readonly passkey: SessionAnswer["passkeys"][number];
  readonly isOnly: boolean;
  readonly isBusy: boolean;
  readonly onRemove: (id: string) => void;
}): ReactElement {
  const { credential_id: id, created_at: since, last_used_at: used, backed_up: isBackedUp } = passkey;
  return (
    <tr data-passkey={id}>
      <td>
        <code>{id.slice(0, SHOWN_CHARS)}</code> {isBackedUp ? <Badge tone="plain">synchronized</Badge> : null}
      </td>
      <td>{formatTime(since)}</td>
      <td>{used === null ? "never" : formatTime(used)}</td>
      <td>
        {isOnly ? (
          "the last one stays"
        ) : (
          <button
            type="button"
            aria-label={`Remove ${id.slice(0, SHOWN_CHARS)}`}
            disabled={isBusy}
            onClick={() => onRemove(id)}
          >
            Remove
          </button>
        )}
      </td>
    </tr>
  );
}

/** A further door for the same person: the passkey says so here, and the provider who it is there. */
function AddIdentity({ session }: { readonly session: SessionAnswer }): ReactElement | null {
  const list = useQuery({ queryKey: ["identity-providers"], queryFn: listProviders, staleTime: Infinity });
  const adding = useMutation({
    mutationFn: async (name: string) =>
      goToProvider(name, { coming: null, adding: await giveWord(`add-identity:${name}`, session.passkeys) }),
  });
  if (list.isError) return <Problem error={list.error} retry={() => list.refetch()} />;
  if (list.data === undefined || list.data.length === 0) return null;
  return (
    <>
      <p className="muted">
        You may sign in through an identity provider too. It opens a session and signs nothing.
      </p>
      <div className="row">
        {list.data.map(({ name, label }) => (
          <button key={name} type="button" disabled={adding.isPending} onClick={() => adding.mutate(name)}>
            Add {label}
          </button>
        ))}
      </div>
      {adding.isError ? <Problem error={adding.error} /> : null}
    </>
  );
}

/** Of who came through an identity provider: what a human signs is signed by a passkey. */
export function FirstPasskey({
  session,
  onAdded,
}: {
  readonly session: SessionAnswer;
  readonly onAdded: (changed: SessionAnswer) => void;
}): ReactElement {
  const making = useMutation({ mutationFn: () => makeFirstPasskey(session), onSuccess: onAdded });
  return (
    <>
      <p className="muted">
        You came through your identity provider. To let agents be, answer approvals or confirm what another
        admin asks, make a passkey, within five minutes of signing in.
      </p>
      <div className="row">
        <button type="button" className="primary" disabled={making.isPending} onClick={() => making.mutate()}>
          {making.isPending ? "Waiting for your passkey" : "Make your first passkey"}
        </button>
      </div>
      {making.isError ? <Problem error={making.error} /> : null}
    </>
  );
}

/** Two steps, so that there is time to put the other device at hand. */
function AddPasskey({
  session,
  onAdded,
}: {
  readonly session: SessionAnswer;
  readonly onAdded: (changed: SessionAnswer) => void;
}): ReactElement {
  const word = useMutation({ mutationFn: () => giveWord("add-passkey", session.passkeys) });
  const adding = useMutation({
    mutationFn: () => addPasskey(session, word.data),
    onSuccess: onAdded,
    // A word counts once.
    onSettled: () => word.reset(),
  });
  return (
    <>
      <p className="muted" role="status">
        {word.isSuccess
          ? "Now the new one: have the other device at hand. It has five minutes."
          : "With a second passkey on another device you need nobody’s help when one is lost. Another one’s word removes one."}
      </p>
      <div className="row">
        {word.isSuccess ? (
          <button
            type="button"
            className="primary"
            disabled={adding.isPending}
            onClick={() => adding.mutate()}
          >
            Make the new passkey
          </button>
        ) : (
          <button type="button" disabled={word.isPending} onClick={() => word.mutate()}>
            Add a passkey, by one that you have
          </button>
        )}
      </div>
      {word.isError ? <Problem error={word.error} /> : null}
      {adding.isError ? <Problem error={adding.error} /> : null}
    </>
  );
}
