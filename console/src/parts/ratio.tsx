/** Agents for each owner on a line, beside how many one person answers for. */
import type { ReactElement } from "react";
import { formatRatio } from "./format.ts";

/** More agents for each owner than a person can answer for; the alarm says the same (`deploy/prometheus/`). */
export const MANY_AGENTS_PER_OWNER = 50;
/** What it was on a network of agents where nobody counted. */
const WORST_SEEN = 88;
const LEAST_END = 100;
const MARKS = [
  { value: MANY_AGENTS_PER_OWNER, text: "is the alarm" },
  { value: WORST_SEEN, text: "is the worst seen" },
] as const;

/** The line; what it shows is said in words too. */
export function Ratio({
  agents,
  owners,
}: {
  readonly agents: number;
  readonly owners: number;
}): ReactElement {
  const ratio = owners === 0 ? 0 : agents / owners;
  const end = Math.max(LEAST_END, ratio * 1.1);
  const at = (value: number) => `${(Math.min(value, end) * 100) / end}%`;
  const isCrowded = ratio > MANY_AGENTS_PER_OWNER;
  const said = MARKS.map(({ value, text }) => `${value}:1 ${text}`).join(", ");
  return (
    <div className="ratio" role="img" aria-label={`${formatRatio(agents, owners)} agents per owner; ${said}`}>
      <div className="ratio-track">
        <div className={isCrowded ? "ratio-fill is-crowded" : "ratio-fill"} style={{ width: at(ratio) }} />
        {MARKS.map(({ value }) => (
          <span key={value} className="ratio-mark" style={{ left: at(value) }} />
        ))}
      </div>
      <div className="ratio-words">
        {MARKS.map(({ value, text }) => (
          <span key={value} style={{ left: at(value) }}>
            <strong>{value}:1</strong> {text}
          </span>
        ))}
      </div>
    </div>
  );
}
