/** One request that waits for a second admin: exactly what would be sent, who wants it and why, and the answer. */

import { useMutation } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import {
  type ConfirmationDetail,
  confirmationDetail,
  confirmationView,
} from "@trustwarden/core/api/confirmations.ts";
import type { ReactElement } from "react";
import { callApi, sendExactly } from "../api/client.ts";
import { useSession } from "../api/session.tsx";
import { confirmByPasskey } from "../api/sign.ts";
import { useApi } from "../api/use-api.ts";
import { useNames } from "../api/use-people.ts";
import { formatTime } from "../parts/format.ts";
import { Badge, Facts, Id, Panel, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { CONFIRMATION_TONES } from "../parts/second-admin.tsx";
import { describeRequest, formatSeen, formatWho, peopleIn } from "./confirmation-words.ts";

/** The page. */
export function Confirmation(): ReactElement {
  const { id } = useParams({ from: "/confirmations/$id" });
  const found = useApi(`/v1/confirmations/${id}`, confirmationDetail);
  if (found.isPending) return <Waiting what="Reading" />;
  if (found.isError) return <Problem error={found.error} retry={() => void found.refetch()} />;
  return <Asked key={id} asked={found.data} onChanged={() => void found.refetch()} />;
}

function Asked({
  asked,
  onChanged,
}: {
  readonly asked: ConfirmationDetail;
  readonly onChanged: () => void;
}): ReactElement {
  const { state } = asked;
  return (
    <>
      <header className="screen-head">
        <h1>{describeRequest(asked)}</h1>
        <p>
          <Badge tone={CONFIRMATION_TONES[state]}>{state}</Badge>
        </p>
      </header>
      <Panel title="Exactly this">
        <AskedFacts asked={asked} />
      </Panel>
      {state === "pending" || state === "confirmed" ? (
        <Panel title="What you can do">
          <div className="panel-body stack">
            <Choices asked={asked} onChanged={onChanged} />
          </div>
        </Panel>
      ) : null}
    </>
  );
}

function AskedFacts({ asked }: { readonly asked: ConfirmationDetail }): ReactElement {
  const names = useNames();
  const { method, target, body, asked_by: askedBy, answered_by: answeredBy } = asked;
  const about = peopleIn(asked).map((id) => formatWho(id, names));
  return (
    <Facts
      facts={[
        ["Request", <code key="request">{formatSeen(`${method} ${target}`)}</code>],
        [
          "With",
          body === "" ? (
            "nothing"
          ) : (
            <pre key="body" className="document">
              {formatSeen(body)}
            </pre>
          ),
        ],
        ...(about.length === 0 ? [] : ([["About", about.join(", ")]] as const)),
        ["Asked by", formatWho(askedBy, names)],
        ["Why", formatSeen(asked.reason)],
        ["Asked at", formatTime(asked.created_at)],
        ["Until", formatTime(asked.expires_at)],
        ...(answeredBy === null ? [] : ([["Answered by", formatWho(answeredBy, names)]] as const)),
        ["Digest", <Id key="digest" text={asked.digest} />],
      ]}
    />
  );
}

function Choices({
  asked,
  onChanged,
}: {
  readonly asked: ConfirmationDetail;
  readonly onChanged: () => void;
}): ReactElement {
  const { person_id: ownId, roles } = useSession();
  const isOwn = asked.asked_by === `person:${ownId}`;
  if (asked.state === "confirmed") {
    if (isOwn) return <Doing asked={asked} onChanged={onChanged} />;
    return <p className="muted">Whoever asked does it now: once, and exactly this.</p>;
  }
  if (!roles.includes("admin")) return <p className="muted">An admin answers.</p>;
  return <Answering asked={asked} isOwn={isOwn} onChanged={onChanged} />;
}

function Answering({
  asked,
  isOwn,
  onChanged,
}: {
  readonly asked: ConfirmationDetail;
  readonly isOwn: boolean;
  readonly onChanged: () => void;
}): ReactElement {
  const session = useSession();
  const answering = useMutation({
    mutationFn: (answer: "confirm" | "refuse") =>
      answer === "confirm"
        ? confirmByPasskey(session, asked)
        : callApi({
            path: `/v1/confirmations/${asked.id}/answer`,
            body: { answer },
            answer: confirmationView,
          }),
    onSuccess: onChanged,
  });
  return (
    <>
      <p className="muted">
        {isOwn
          ? "You asked, so another admin confirms. You can still take it back."
          : "Your passkey signs exactly what stands above. The ledger keeps what it signed."}
      </p>
      <span className="row">
        {isOwn ? null : (
          <button
            type="button"
            className="primary"
            disabled={answering.isPending}
            onClick={() => answering.mutate("confirm")}
          >
            Confirm with your passkey
          </button>
        )}
        <button type="button" disabled={answering.isPending} onClick={() => answering.mutate("refuse")}>
          {isOwn ? "Take it back" : "Refuse"}
        </button>
      </span>
      {answering.isError ? <Problem error={answering.error} /> : null}
    </>
  );
}

/** For whoever asked and went away since: the very text that was confirmed is sent. */
function Doing({
  asked,
  onChanged,
}: {
  readonly asked: ConfirmationDetail;
  readonly onChanged: () => void;
}): ReactElement {
  const doing = useMutation({
    mutationFn: async () => {
      const answer = await sendExactly(asked, { confirmation: asked.id });
      return answer.headers.get("content-type")?.startsWith("application/json") === true
        ? { text: await answer.text(), file: null }
        : { text: null, file: URL.createObjectURL(await answer.blob()) };
    },
  });
  if (doing.data !== undefined) {
    const { text, file } = doing.data;
    return (
      <div className="stack" data-done>
        <p role="status">It is done. This is the answer, and it is not shown again:</p>
        {file === null ? (
          <pre className="document">{text}</pre>
        ) : (
          <a href={file} download="answer">
            Keep the file
          </a>
        )}
      </div>
    );
  }
  return (
    <>
      <p className="muted">Another admin confirmed it. It is done once, and by you.</p>
      <span className="row">
        <button type="button" className="primary" disabled={doing.isPending} onClick={() => doing.mutate()}>
          Do it now
        </button>
      </span>
      {doing.isError ? <Problem error={doing.error} retry={onChanged} /> : null}
    </>
  );
}
