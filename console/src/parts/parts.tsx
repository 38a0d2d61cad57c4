/** Small pieces that every screen is made of. */
import { type ReactElement, type ReactNode, useState } from "react";
import { Icon } from "./icons.tsx";

export type Tone = "good" | "bad" | "warn" | "plain";

/** One word about a state; the tone is never the only sign, the word says it. */
export function Badge({
  tone,
  children,
}: {
  readonly tone: Tone;
  readonly children: ReactNode;
}): ReactElement {
  return <span className={`badge badge-${tone}`}>{children}</span>;
}

/** The badge of an agent's, instance's or owner's status. */
export function StatusBadge({ status }: { readonly status: "live" | "revoked" | "expired" }): ReactElement {
  const tone = { live: "good", revoked: "bad", expired: "plain" } as const;
  return <Badge tone={tone[status]}>{status === "revoked" ? "stopped" : status}</Badge>;
}

/** A titled part of a screen. */
export function Panel({
  title,
  aside,
  children,
}: {
  readonly title: string;
  readonly aside?: ReactNode;
  readonly children: ReactNode;
}): ReactElement {
  return (
    <section className="panel" aria-label={title}>
      <header className="panel-head">
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** A figure with its name; `note` says what it means or since when. */
export function Figure({
  label,
  value,
  note,
  tone = "plain",
}: {
  readonly label: string;
  readonly value: string;
  readonly note?: string;
  readonly tone?: Tone;
}): ReactElement {
  return (
    <div className={`figure figure-${tone}`}>
      <dt>{label}</dt>
      <dd>
        <span className="figure-value">{value}</span>
        {note === undefined ? null : <span className="figure-note">{note}</span>}
      </dd>
    </div>
  );
}

/** A place with nothing in it yet, and the command that changes that. */
export function Empty({
  title,
  children,
  command,
}: {
  readonly title: string;
  readonly children?: ReactNode;
  readonly command?: string;
}): ReactElement {
  return (
    <div className="empty">
      <p className="empty-title">{title}</p>
      {children === undefined ? null : <p className="muted">{children}</p>}
      {command === undefined ? null : <Command text={command} />}
    </div>
  );
}

/** A command to be copied to a terminal. */
export function Command({ text }: { readonly text: string }): ReactElement {
  return (
    <div className="command">
      <code>{text}</code>
      <Copy text={text} label="Copy the command" />
    </div>
  );
}

/** Copies a text, and says that it did. */
function Copy({ text, label }: { readonly text: string; readonly label: string }): ReactElement {
  const [isCopied, setCopied] = useState(false);
  return (
    <button
      type="button"
      className="quiet"
      aria-label={label}
      title={label}
      onClick={() => void navigator.clipboard.writeText(text).then(() => setCopied(true))}
      onBlur={() => setCopied(false)}
    >
      <Icon name={isCopied ? "check" : "copy"} />
    </button>
  );
}

/** A long identifier in full, breaking where it must. */
export function Id({ text }: { readonly text: string }): ReactElement {
  return <code className="id">{text}</code>;
}

/** Name and value pairs. */
export function Facts({
  facts,
}: {
  readonly facts: readonly (readonly [name: string, value: ReactNode])[];
}): ReactElement {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A table; on a phone each row is a card, whose lines are named by the columns. @param children - its rows. */
export function Table({
  columns,
  children,
}: {
  readonly columns: readonly string[];
  readonly children: ReactNode;
}): ReactElement {
  // Read by the cards' style sheet: a row's cells do not know their columns.
  const names = Object.fromEntries(columns.map((name, at) => [`--column-${at + 1}`, JSON.stringify(name)]));
  return (
    <div className="table-wrap">
      <table style={names}>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

/** Beside a list of what waits: that alone or all of it, and a new look. */
export function ListChoices({
  isAll,
  onAll,
  onLook,
}: {
  readonly isAll: boolean;
  readonly onAll: (isAll: boolean) => void;
  readonly onLook: () => void;
}): ReactElement {
  return (
    <span className="row">
      <button type="button" onClick={() => onAll(!isAll)}>
        {isAll ? "Show what waits" : "Show all"}
      </button>
      <button type="button" onClick={onLook}>
        Look again
      </button>
    </span>
  );
}

/** What is shown until the answer is there. */
export function Waiting({ what }: { readonly what: string }): ReactElement {
  return (
    <p className="waiting" role="status">
      {what}
    </p>
  );
}
