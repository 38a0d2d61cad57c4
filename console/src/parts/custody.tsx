/** The chain of custody as a picture: from the human, over everybody it let act, to what was done. */
import type { ReactElement, ReactNode } from "react";
import { Icon, type IconName } from "./icons.tsx";
import type { Tone } from "./parts.tsx";

/** One who stands in the chain. */
export interface CustodyStep {
  readonly id: string;
  readonly icon: IconName;
  readonly name: ReactNode;
  /** How it came from the one before to this one; nothing for the first. */
  readonly by?: string;
  readonly note?: ReactNode;
  readonly tone?: Tone;
}

/** From left to right, and from top to bottom where it is narrow. */
export function Custody({ steps }: { readonly steps: readonly CustodyStep[] }): ReactElement {
  return (
    <ol className="custody" aria-label="From the human to the action">
      {steps.map(({ id, icon, name, by, note, tone = "plain" }) => (
        <li key={id} className={`custody-${tone}`}>
          <span className="custody-mark">
            <Icon name={icon} />
          </span>
          <div className="custody-text">
            {by === undefined ? null : <span className="custody-by">{by}</span>}
            <strong>{name}</strong>
            {note}
          </div>
        </li>
      ))}
    </ol>
  );
}
