/** What the keyboard does everywhere: `/` asks, `?` helps, `g` and a letter go somewhere. */
import { useNavigate } from "@tanstack/react-router";
import { type ReactElement, type RefObject, useEffect, useRef } from "react";
import { PLACES } from "./places.ts";

const TYPING = new Set(["INPUT", "TEXTAREA", "SELECT"]);

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (TYPING.has(target.tagName) || target.isContentEditable);
}

/** Listens while the frame is shown. */
export function useKeys(
  ask: RefObject<HTMLInputElement | null>,
  help: RefObject<HTMLDialogElement | null>,
): void {
  const navigate = useNavigate();
  const isGoing = useRef(false);
  useEffect(() => {
    const go = (letter: string) => {
      const place = PLACES.find(({ key }) => key === letter);
      if (place !== undefined) void navigate({ to: place.to });
    };
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isGoing.current) go(event.key);
      isGoing.current = event.key === "g";
      if (event.key === "/") {
        event.preventDefault();
        ask.current?.focus();
      }
      if (event.key === "?") help.current?.showModal();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, [ask, help, navigate]);
}

/** The page of keys. */
export function Help({ dialog }: { readonly dialog: RefObject<HTMLDialogElement | null> }): ReactElement {
  return (
    <dialog ref={dialog} aria-labelledby="help-title">
      <h2 id="help-title">Keys</h2>
      <table>
        <thead>
          <tr>
            <th scope="col">Key</th>
            <th scope="col">What it does</th>
          </tr>
        </thead>
        <tbody>
          <KeyRow keys={["/"]} does="Ask about an event, a receipt, a certificate, a token or an agent" />
          <KeyRow keys={["?"]} does="This page" />
          {PLACES.map(({ key, name }) => (
            <KeyRow key={key} keys={["g", key]} does={name} />
          ))}
        </tbody>
      </table>
      <form method="dialog" className="dialog-foot">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

function KeyRow({ keys, does }: { readonly keys: readonly string[]; readonly does: string }): ReactElement {
  return (
    <tr>
      <td>
        {keys.map((key) => (
          <kbd key={key}>{key}</kbd>
        ))}
      </td>
      <td>{does}</td>
    </tr>
  );
}
