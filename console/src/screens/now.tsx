/** Now: what the agents do at this moment, and whether anything needs a person. */

import { Link } from "@tanstack/react-router";
import type { LiveFrame } from "@trustwarden/core/api/tree.ts";
import type { ReactElement } from "react";
import { type Live, useLive } from "../api/live.tsx";
import { formatAgentName, formatClock, formatCount, formatRatio } from "../parts/format.ts";
import { Badge, Empty, Figure, Panel, Waiting } from "../parts/parts.tsx";
import { Pulse } from "../parts/pulse.tsx";
import { MANY_AGENTS_PER_OWNER, Ratio } from "../parts/ratio.tsx";
import { RatioHistory } from "../parts/ratio-history.tsx";

/** Decisions a second are told from this many frames: two seconds. */
const RATE_FRAMES = 4;

/** The first screen. */
export function Now(): ReactElement {
  const live = useLive();
  const frame = live.frames.at(-1);
  return (
    <>
      <header className="screen-head">
        <h1>Now</h1>
        <p>Every action of every agent, decided and recorded before it happens.</p>
      </header>
      {frame === undefined ? (
        <Waiting what="Waiting for the first frame" />
      ) : (
        <Figures live={live} frame={frame} />
      )}
      <Panel
        title="Decisions a second"
        aside={
          <span className="pulse-legend">
            <span>allowed</span>
            <span className="denied">denied</span>
          </span>
        }
      >
        <div className="panel-body">
          <Pulse frames={live.frames} />
        </div>
      </Panel>
      {frame === undefined || frame.counts === null ? null : (
        <Panel
          title="Agents for each owner"
          aside={<span className="muted">now, and over the last week; the dashed line is the alarm</span>}
        >
          <Ratio agents={frame.counts.agents} owners={frame.counts.owners} />
          <RatioHistory past={live.ratio} agents={frame.counts.agents} owners={frame.counts.owners} />
        </Panel>
      )}
      <Panel title="Latest decisions">
        <Latest recent={live.recent} />
      </Panel>
    </>
  );
}

function rateOf(frames: readonly LiveFrame[], count: (frame: LiveFrame) => number): number {
  const latest = frames.slice(-RATE_FRAMES);
  const spanMs = latest.reduce((sum, { span_ms }) => sum + span_ms, 0);
  const counted = latest.reduce((sum, frame) => sum + count(frame), 0);
  return spanMs === 0 ? 0 : Math.round((counted * 1000) / spanMs);
}

function Figures({ live, frame }: { readonly live: Live; readonly frame: LiveFrame }): ReactElement {
  const { counts, ledger, verifiers, epoch } = frame;
  const denials = rateOf(live.frames, ({ denied }) => denied);
  return (
    <dl className="figures">
      {counts === null ? null : <CountFigures counts={counts} />}
      <Figure
        label="Decisions a second"
        value={formatCount(rateOf(live.frames, ({ allowed, denied }) => allowed + denied))}
      />
      <Figure label="Denied a second" value={formatCount(denials)} tone={denials > 0 ? "bad" : "plain"} />
      <Figure label="Ledger" value={formatCount(ledger.size)} note={witnessNote(ledger)} />
      <Figure
        label="Verifiers that hear a stop"
        value={formatCount(verifiers)}
        note={`live leases, epoch ${formatCount(epoch)}`}
      />
    </dl>
  );
}

function CountFigures({ counts }: { readonly counts: NonNullable<LiveFrame["counts"]> }): ReactElement {
  const { owners, agents, live_instances: alive } = counts;
  const isCrowded = agents > owners * MANY_AGENTS_PER_OWNER;
  return (
    <>
      <Figure
        label="Alive now"
        value={formatCount(alive)}
        note={`instances of ${formatCount(agents)} agents`}
      />
      <Figure
        label="Agents per owner"
        value={formatRatio(agents, owners)}
        note={isCrowded ? "more than a person answers for" : `${formatCount(owners)} owners`}
        tone={isCrowded ? "warn" : "plain"}
      />
    </>
  );
}

function witnessNote({ size, witnessed_size: witnessed }: LiveFrame["ledger"]): string {
  if (witnessed === null) return "entries, no witness yet";
  const behind = size - witnessed;
  return behind <= 0 ? "entries, all witnessed" : `entries, ${formatCount(behind)} not yet witnessed`;
}

function Latest({ recent }: { readonly recent: LiveFrame["recent"] }): ReactElement {
  if (recent.length === 0) {
    return (
      <Empty title="Nothing has been decided since you came" command="./dev quickstart">
        Decisions appear here while agents act. The founding story makes some, with a server of its own.
      </Empty>
    );
  }
  return (
    <ol className="stream">
      {recent.map(({ event_id: id, allow, agent, action, resource, reasons, at_ms: atMs }) => (
        <li key={id}>
          <time>{formatClock(new Date(atMs).toISOString())}</time>
          <Badge tone={allow ? "good" : "bad"}>{allow ? "allowed" : "denied"}</Badge>
          <Link to="/question" search={{ q: id }}>
            {action}
          </Link>
          <code title={resource}>{allow ? formatAgentName(agent) : reasons.join(", ")}</code>
        </li>
      ))}
    </ol>
  );
}
