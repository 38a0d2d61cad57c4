/** A one-time link, shown to whoever made it and to nobody again. */
import type { LinkAnswer } from "@trustwarden/core/api/people.ts";
import type { ReactElement } from "react";
import { formatTime } from "./format.ts";
import { Command } from "./parts.tsx";

/** What whoever it is for opens. */
export function Invitation({ link }: { readonly link: LinkAnswer }): ReactElement {
  return (
    <div className="stack">
      <p>Whoever opens this first becomes the person. It works once, until {formatTime(link.expires_at)}.</p>
      <Command text={`${window.location.origin}/app/welcome#${link.link}`} />
    </div>
  );
}
