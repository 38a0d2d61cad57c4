/** Question: which agent did this, who authorized it, what stops it; proven here and not by the server's word. */

import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { eventPage, shardList } from "@trustwarden/core/api/ledger.ts";
import { type ReactElement, type SubmitEvent, useEffect, useState } from "react";
import { useAsk, useAsked } from "../api/asked.tsx";
import { callApi, fetchBytes, pathWith } from "../api/client.ts";
import { Empty, Panel, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { type AnchorState, readAnchors } from "../verify/anchors.ts";
import type { Asked } from "../verify/evidence.ts";
import type { Question as PastedQuestion } from "../verify/pasted.ts";
import { Answer } from "./answer.tsx";

/** What was found: evidence to be checked, or a place to look at. */
export interface Found {
  readonly asked: Asked;
  readonly evidence: Uint8Array;
  readonly anchors: AnchorState;
  /** What the pasted text proved by itself. */
  readonly proven: string | null;
  /** Whether what was pasted is a text in which the event is named, and of which nothing else is proven. */
  readonly isQuoted: boolean;
}

type Outcome =
  | { readonly kind: "found"; readonly found: Found }
  | { readonly kind: "agent" | "owner"; readonly id: string };

const SHARDS = { path: "/ledger/shards", answer: shardList } as const;

/** The verifier comes when the first question is asked: it is half of the console's code. */
async function ask(pasted: string): Promise<Outcome> {
  const [{ questionOf }, { FollowedKeys }] = await Promise.all([
    import("../verify/pasted.ts"),
    import("@trustwarden/core/agentledger/followed-keys.ts"),
  ]);
  const anchors = await readAnchors();
  const { bundle, vkey } = anchors.pinned;
  const keys = new FollowedKeys(vkey, async () => (await callApi(SHARDS)).shards);
  const question = await questionOf(pasted, { bundle, keys });
  if (question.kind === "agent" || question.kind === "owner") return question;
  const asked = await askedOf(question);
  const evidence = await fetchBytes(pathWith("/v1/evidence", { event: asked.eventId }));
  const isQuoted = question.kind === "event" && question.isQuoted;
  return { kind: "found", found: { asked, evidence, anchors, proven: question.proven, isQuoted } };
}

async function askedOf(
  question: Exclude<PastedQuestion, { readonly kind: "agent" | "owner" }>,
): Promise<Asked> {
  if (question.kind === "event") return { eventId: question.eventId, index: question.index, name: null };
  return { eventId: await findEvent(question), index: null, name: question.agent };
}

async function findEvent({
  agent,
  only,
}: Extract<PastedQuestion, { readonly kind: "links" }>): Promise<string> {
  const path = pathWith("/v1/events", { agent, kind: only ?? undefined, limit: 1 });
  const { events } = await callApi({ path, answer: eventPage });
  const [event] = events;
  if (event !== undefined) return event.event_id;
  throw new Error(
    "The ledger has no record of this. Either it is not of this trust domain, or it is not yours to see.",
  );
}

/** The screen. */
export function Question(): ReactElement {
  const { q: named = "" } = useSearch({ from: "/question" });
  const { pasted, turn } = useAsked();
  const q = pasted === "" ? named : pasted;
  const navigate = useNavigate();
  const question = useMutation({ mutationFn: ask });
  const { mutate, data } = question;
  // biome-ignore lint/correctness/useExhaustiveDependencies: asking the same again is a question of its own.
  useEffect(() => {
    if (q !== "") mutate(q);
  }, [q, turn, mutate]);
  useEffect(() => {
    if (data?.kind === "agent") void navigate({ to: "/agents/$id", params: { id: data.id } });
    if (data?.kind === "owner") void navigate({ to: "/owners/$id", params: { id: data.id } });
  }, [data, navigate]);
  return (
    <>
      <header className="screen-head">
        <h1>Question</h1>
        <p>Which agent did this? Who authorized it? What stops it?</p>
      </header>
      <Form q={q} />
      {question.isPending ? <Waiting what="Fetching the evidence" /> : null}
      {question.isError ? <Problem error={question.error} retry={() => mutate(q)} /> : null}
      {data?.kind === "found" ? <Answer key={question.submittedAt} found={data.found} /> : null}
      {q === "" ? <Hints /> : null}
    </>
  );
}

function Form({ q }: { readonly q: string }): ReactElement {
  const ask = useAsk();
  const [text, setText] = useState(q);
  useEffect(() => setText(q), [q]);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    if (text.trim() !== "") ask(text);
  };
  return (
    <Panel title="Ask">
      <form className="panel-body stack" onSubmit={submit}>
        <label className="field">
          <span>
            An event, a receipt, a post with one of them in it, a certificate, a token, a signed commit, an
            instance or an agent
          </span>
          <textarea
            name="pasted"
            rows={text.includes("\n") || text.length > 200 ? 8 : 2}
            value={text}
            maxLength={100_000}
            spellCheck={false}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <div className="row">
          <button type="submit" className="primary">
            Ask
          </button>
          <span className="muted">The proof is checked in this browser, by the verifier of the SDK.</span>
        </div>
      </form>
    </Panel>
  );
}

function Hints(): ReactElement {
  return (
    <Panel title="Where to find one">
      <Empty title="Take any line of the ledger" command="git cat-file commit HEAD">
        Or paste the <code>TrustWarden-Receipt</code> header of an answer, a text that an agent published with
        its receipt or event id in it, an SVID in PEM, a JWT-SVID, or a signed commit the way git prints it.{" "}
        <Link to="/ledger">Search the ledger</Link>
      </Empty>
    </Panel>
  );
}
