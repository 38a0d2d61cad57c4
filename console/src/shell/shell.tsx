/** The frame: who is here, where one can go, and the one question that can be asked from anywhere. */
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { type ReactElement, type RefObject, type SubmitEvent, useEffect, useRef } from "react";
import { AskedProvider, useAsk } from "../api/asked.tsx";
import { LiveProvider, useLive } from "../api/live.tsx";
import { SessionGate, useSession, useSignOut } from "../api/session.tsx";
import { useServer } from "../api/use-server.ts";
import { Held } from "../parts/held.tsx";
import { Icon } from "../parts/icons.tsx";
import { Newcomer } from "../screens/newcomer.tsx";
import { Help, useKeys } from "./keys.tsx";
import { PLACES } from "./places.ts";
import { ThemeSwitch } from "./theme.tsx";

/** Everything but the doors: they are for people without a session. */
export function Shell(): ReactElement {
  const path = useRouterState({ select: ({ location }) => location.pathname });
  if (path === "/welcome" || path.startsWith("/signed-in/")) return <Outlet />;
  return (
    <SessionGate>
      <Inside />
    </SessionGate>
  );
}

function Inside(): ReactElement {
  const { roles } = useSession();
  if (roles.length === 0) return <Newcomer />;
  return (
    <LiveProvider>
      <AskedProvider>
        <Frame />
      </AskedProvider>
    </LiveProvider>
  );
}

function Frame(): ReactElement {
  const ask = useRef<HTMLInputElement>(null);
  const help = useRef<HTMLDialogElement>(null);
  const path = useRouterState({ select: ({ location }) => location.pathname });
  const { roles } = useSession();
  useKeys(ask, help);
  useEffect(() => {
    const place = PLACES.find(({ to }) => to === path);
    document.title = place === undefined ? "TrustWarden" : `${place.name} · TrustWarden`;
    // On a phone the rail is wider than the window.
    document
      .querySelector('.rail a[aria-current="page"]')
      ?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [path]);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        Skip to the content
      </a>
      <Rail />
      <header className="bar">
        <Ask input={ask} />
        <div className="bar-end">
          <LinkState />
          <ThemeSwitch />
          <Who />
        </div>
      </header>
      <main className="main" id="main" tabIndex={-1}>
        {roles.some((role) => role !== "owner") ? <Held /> : null}
        <Outlet />
      </main>
      <Help dialog={help} />
    </div>
  );
}

function Rail(): ReactElement {
  const server = useServer();
  return (
    <nav className="rail" aria-label="Screens">
      <Link to="/" className="brand">
        <img src="/app/mark.svg" alt="" />
        TrustWarden
      </Link>
      <ul>
        {PLACES.map(({ to, name, icon }) => (
          <li key={to}>
            <Link to={to} activeOptions={{ exact: to === "/" }}>
              <Icon name={icon} />
              {name}
            </Link>
          </li>
        ))}
      </ul>
      <p className="rail-foot">{server.data?.trust_domain}</p>
    </nav>
  );
}

function Ask({ input }: { readonly input: RefObject<HTMLInputElement | null> }): ReactElement {
  const ask = useAsk();
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const text = input.current?.value ?? "";
    if (text.trim() !== "") ask(text);
  };
  return (
    <search>
      <form onSubmit={submit}>
        <Icon name="search" />
        <input
          ref={input}
          name="q"
          type="search"
          autoComplete="off"
          spellCheck={false}
          aria-label="Ask about an event, a receipt, a certificate, a token or an agent"
          placeholder="Which agent did this? Paste an event, receipt, certificate or token"
          onPaste={(event) => {
            // A line of its own has no lines: what has some is asked as it is.
            const text = event.clipboardData.getData("text");
            if (!text.trim().includes("\n")) return;
            event.preventDefault();
            ask(text);
          }}
        />
        <kbd>/</kbd>
      </form>
    </search>
  );
}

function LinkState(): ReactElement {
  const { isConnected } = useLive();
  const text = isConnected ? "live" : "connecting";
  return (
    <span className="link-state" data-state={text}>
      <span>{text}</span>
    </span>
  );
}

function Who(): ReactElement {
  const { name } = useSession();
  const signOut = useSignOut();
  return (
    <>
      <span className="who muted">{name}</span>
      <button type="button" onClick={signOut}>
        Sign out
      </button>
    </>
  );
}
