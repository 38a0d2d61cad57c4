/** The answer to a question: a verdict first, then the three answers, then what the verdict rests on. */

import { Link } from "@tanstack/react-router";
import type { Delegation, EventAnswer } from "@trustwarden/core/agentledger/bundle-answers.ts";
import { type ReactElement, useEffect, useState } from "react";
import { useOwnerName } from "../api/use-people.ts";
import { Custody, type CustodyStep } from "../parts/custody.tsx";
import { formatAgentName, formatCount, formatTime } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Badge, Facts, Id, Panel, Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import type { CheckedEvidence } from "../verify/evidence.ts";
import { decisionStepOf } from "./decided.ts";
import type { Found } from "./question.tsx";

type Verdict =
  | { readonly kind: "checking" }
  | { readonly kind: "proven"; readonly checked: CheckedEvidence }
  | { readonly kind: "refused"; readonly error: unknown };

/** Checks, and shows; a person may break the evidence to see that it is refused. */
export function Answer({ found }: { readonly found: Found }): ReactElement {
  const [isBroken, setBroken] = useState(false);
  const { eventId } = found.asked;
  const verdict = useVerdict(found, isBroken);
  return (
    <>
      <Headline verdict={verdict} found={found} />
      {verdict.kind === "proven" ? <Proven checked={verdict.checked} found={found} /> : null}
      {verdict.kind === "refused" ? <Problem error={verdict.error} /> : null}
      <div className="row">
        <button type="button" onClick={() => setBroken(!isBroken)}>
          {isBroken ? "Check the evidence as it came" : "Change one bit and check again"}
        </button>
        <a className="button" href={`/v1/evidence?event=${eventId}`} download={`${eventId}.twb`}>
          <Icon name="download" /> Evidence
        </a>
        <span className="muted">
          Check it elsewhere: <code>warden evidence verify {eventId}.twb --help</code>
        </span>
      </div>
    </>
  );
}

function useVerdict({ asked, evidence, anchors }: Found, isBroken: boolean): Verdict {
  const [verdict, setVerdict] = useState<Verdict>({ kind: "checking" });
  useEffect(() => {
    let isCurrent = true;
    const check = async () => {
      const { breakEvidence, checkEvidence } = await import("../verify/evidence.ts");
      const bytes = isBroken ? breakEvidence(evidence) : evidence;
      return checkEvidence(bytes, { anchors: anchors.pinned, asked });
    };
    check().then(
      (checked) => isCurrent && setVerdict({ kind: "proven", checked }),
      (error: unknown) => isCurrent && setVerdict({ kind: "refused", error }),
    );
    return () => {
      isCurrent = false;
    };
  }, [asked, evidence, anchors, isBroken]);
  return verdict;
}

function Headline({ verdict, found }: { readonly verdict: Verdict; readonly found: Found }): ReactElement {
  switch (verdict.kind) {
    case "checking":
      return <Waiting what="Checking the proof" />;
    case "refused":
      return (
        <div className="verdict verdict-bad" data-verdict="refused">
          <Icon name="cross" />
          <div>
            <h2>Refused: this evidence does not hold</h2>
            <p>Nothing that it says is to be believed. Below is what did not fit.</p>
            {found.anchors.isSame ? null : <Changed />}
          </div>
        </div>
      );
    case "proven":
      return (
        <div className="verdict" data-verdict="proven">
          <Icon name="check" />
          <div>
            <h2>Proven in this browser</h2>
            <p>{sentenceOf(verdict.checked)}</p>
            {found.proven === null ? null : <p>{found.proven}</p>}
            {found.isQuoted ? (
              <p data-quoted>
                That is the event which the text names. What else the text says, and who wrote it, is proven
                by nothing here.
              </p>
            ) : null}
            {found.anchors.isSame ? null : <Changed />}
          </div>
        </div>
      );
  }
}

function Changed(): ReactElement {
  return (
    <p>
      <Badge tone="warn">keys differ</Badge> The server shows other keys than this browser knows.{" "}
      <Link to="/settings">Compare them</Link>
    </p>
  );
}

function sentenceOf({ report, elapsedMs, isWitnessed }: CheckedEvidence): string {
  const who = isWitnessed
    ? `signed by the log and ${report.cosignatures.length} of your witnesses`
    : "signed by the log; no witness vouches for it yet";
  return `${formatCount(report.entries)} records, ${formatCount(report.signatures)} signatures, under a tree of ${formatCount(report.checkpoint.size)} entries ${who}. Checked in ${Math.round(elapsedMs)} ms.`;
}

function Proven({
  checked,
  found,
}: {
  readonly checked: CheckedEvidence;
  readonly found: Found;
}): ReactElement {
  const { answer } = checked;
  return (
    <>
      <HowItCame answer={answer} />
      <Answers answer={answer} job={checked.job} />
      <Rests checked={checked} found={found} />
    </>
  );
}

/** The proven records as a picture; nothing of an event that is no agent's action. */
function HowItCame({ answer }: { readonly answer: EventAnswer }): ReactElement | null {
  const nameOf = useOwnerName();
  const [first] = answer.authorizedBy;
  const decision = decisionStepOf(answer.event);
  if (first === undefined || decision === null) return null;
  const human = humanStepOf(first.by, nameOf(first.by));
  return (
    <Panel title="From the human to the action">
      <Custody
        steps={[human, ...answer.authorizedBy.map(agentStepOf), decision, actionStepOf(answer.event)]}
      />
    </Panel>
  );
}

function humanStepOf(by: string, name: string | null): CustodyStep {
  return { id: "human", icon: "people", name: name ?? by, note: name === null ? null : <Id text={by} /> };
}

function agentStepOf({ subject, document, signedBy, scope, index }: Delegation): CustodyStep {
  return {
    id: String(index),
    icon: "agents",
    name: formatAgentName(subject),
    by: `${document}, signed by a ${signedBy}`,
    note: <ScopeChips scope={scope} />,
  };
}

function actionStepOf({ action, kind, outcome, resource }: EventAnswer["event"]): CustodyStep {
  const isDenied = outcome === "denied";
  return {
    id: "action",
    icon: isDenied ? "cross" : "now",
    name: action ?? kind,
    by: isDenied ? "did not happen" : outcome,
    note: resource === null ? null : <Id text={resource} />,
    tone: isDenied ? "bad" : "plain",
  };
}

function ScopeChips({ scope }: { readonly scope: readonly string[] }): ReactElement {
  return (
    <div className="chips">
      {scope.map((atom) => (
        <span className="chip" key={atom}>
          {atom}
        </span>
      ))}
    </div>
  );
}

function Answers({
  answer,
  job,
}: {
  readonly answer: EventAnswer;
  readonly job: string | null;
}): ReactElement {
  const { event, authorizedBy, stoppedBy } = answer;
  return (
    <div className="answers">
      <Panel title="Which agent did this?">
        <div className="panel-body">
          <strong>
            {event.agent_identity === null ? event.authorized_by : formatAgentName(event.agent_identity)}
          </strong>
          {event.agent_identity === null ? null : <Id text={event.agent_identity} />}
          <Facts
            facts={[
              ["What", event.action === null ? event.kind : `${event.action} on ${event.resource}`],
              ["When", formatTime(event.timestamp)],
              ["How it ended", <OutcomeBadge key="outcome" outcome={event.outcome} />],
              ...(job === null
                ? []
                : ([
                    [
                      "Job",
                      <Link key="job" to="/ledger" search={{ job }}>
                        {job}
                      </Link>,
                    ],
                  ] as const)),
            ]}
          />
          {event.agent_id === null ? null : (
            <Link to="/agents/$id" params={{ id: event.agent_id }}>
              Open the agent
            </Link>
          )}
        </div>
      </Panel>
      <Panel title="Who authorized it?">
        <div className="panel-body">
          <ol className="timeline">
            {authorizedBy.map(({ by, document, subject, scope, index }) => (
              <li key={index}>
                <strong>{by.startsWith("spiffe://") ? formatAgentName(by) : by}</strong> by a {document} to{" "}
                {formatAgentName(subject)}
                <ScopeChips scope={scope} />
              </li>
            ))}
          </ol>
          <p>
            Decided by <code>{event.authorized_by}</code>
          </p>
        </div>
      </Panel>
      <Panel title="What stops it?">
        <div className="panel-body">
          {stoppedBy.length === 0 ? (
            <p>Nothing has stopped it. A stop of the agent, of anyone above it, or of its owner does.</p>
          ) : (
            stoppedBy.map((line) => <p key={line}>{line}</p>)
          )}
          {event.agent_id === null ? null : (
            <Link to="/agents/$id" params={{ id: event.agent_id }}>
              Stop it there
            </Link>
          )}
        </div>
      </Panel>
    </div>
  );
}

/** How an action ended. */
export function OutcomeBadge({
  outcome,
}: {
  readonly outcome: EventAnswer["event"]["outcome"];
}): ReactElement {
  const tone = {
    success: "good",
    failure: "warn",
    aborted: "warn",
    denied: "bad",
    pending: "plain",
  } as const;
  return <Badge tone={tone[outcome]}>{outcome}</Badge>;
}

function Rests({
  checked,
  found,
}: {
  readonly checked: CheckedEvidence;
  readonly found: Found;
}): ReactElement {
  const { report, bytes, isWitnessed } = checked;
  const { checkpoint, cosignatures, policies, alarms, manifest } = report;
  return (
    <Panel title="What this rests on">
      <ul className="checks">
        <Check
          text={`Each of ${report.entries} records is in the tree of ${checkpoint.size} entries that the log signed (inclusion proofs, RFC 9162).`}
        />
        <Check
          text={`Each signature is by the SVID that its record names, and each SVID leads to the roots of ${manifest.trust_domain} that this browser pinned on ${formatTime(found.anchors.pinned.pinnedAt)}.`}
        />
        <Check text="The records of the event agree with one another, and nobody acted beyond what was delegated." />
        <Check
          isGood={isWitnessed}
          text={
            isWitnessed
              ? `Cosigned by ${cosignatures.map(({ witness, cosignedAt }) => `${witness} at ${formatTime(cosignedAt)}`).join(", ")}.`
              : "No witness has cosigned this tree yet: that everybody is shown the same log is the server's word."
          }
        />
        {alarms.map(({ code, detail }) => (
          <Check key={`${code} ${detail}`} isGood={false} text={`${code}: ${detail}`} />
        ))}
      </ul>
      <Facts
        facts={[
          ["Log", <Id key="log" text={checkpoint.origin} />],
          ["Tree", `${formatCount(checkpoint.size)} entries`],
          [
            "Policies",
            `${policies.held} of ${policies.named} that decided are in the evidence, code and data`,
          ],
          [
            "Evidence",
            `${formatCount(bytes)} bytes; not in it: ${manifest.withheld.join(", ") || "nothing"}`,
          ],
        ]}
      />
    </Panel>
  );
}

function Check({ text, isGood = true }: { readonly text: string; readonly isGood?: boolean }): ReactElement {
  return (
    <li className={isGood ? "" : "is-bad"}>
      <Icon name={isGood ? "check" : "cross"} />
      <span>{text}</span>
    </li>
  );
}
