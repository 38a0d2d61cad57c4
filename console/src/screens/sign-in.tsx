/** The doors: for whoever has a passkey here, and for whoever comes by a one-time link. */

import { useMutation } from "@tanstack/react-query";
import type { SessionAnswer } from "@trustwarden/core/api/people.ts";
import { type ReactElement, type ReactNode, type SubmitEvent, useState } from "react";
import { comeIn, signIn } from "../api/passkey.ts";
import { Command } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Providers } from "../parts/providers.tsx";

/** For whoever has been here before. */
export function SignIn({ onOpened }: { readonly onOpened: (session: SessionAnswer) => void }): ReactElement {
  const opening = useMutation({ mutationFn: signIn, onSuccess: onOpened });
  return (
    <Gate>
      <h1>Sign in</h1>
      <p className="muted">With the passkey of this device. There are no passwords here.</p>
      <button type="button" className="primary" disabled={opening.isPending} onClick={() => opening.mutate()}>
        {opening.isPending ? "Waiting for your passkey" : "Use a passkey"}
      </button>
      <Providers verb="Sign in with" comingBy={null} />
      {opening.isError ? <Problem error={opening.error} /> : null}
      <p className="muted">
        No passkey yet? An admin gives you a link. The first admin makes one on the server:
      </p>
      <Command text="warden person link" />
    </Gate>
  );
}

/** For whoever comes by a link; its secret stands behind the `#`, which browsers send to nobody. */
export function Welcome(): ReactElement {
  const [link] = useState(() => window.location.hash.replace(/^#/, ""));
  const [name, setName] = useState("");
  const coming = useMutation({ mutationFn: comeIn, onSuccess: () => window.location.replace("/app") });
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    coming.mutate({ link, name: name.trim() });
  };
  if (link === "") {
    return (
      <Gate>
        <h1>This link is not whole</h1>
        <p className="muted">
          Open it again exactly the way it was given to you, with everything behind the “#”.
        </p>
        <a href="/app">Sign in instead</a>
      </Gate>
    );
  }
  return (
    <Gate>
      <h1>Welcome</h1>
      <p className="muted">
        This link works once. It becomes yours with a passkey, which stays on your device and which nobody can
        type or steal from here.
      </p>
      <form className="stack" onSubmit={submit}>
        <label className="field">
          <span>Your name, for others to see</span>
          <input
            name="name"
            value={name}
            maxLength={64}
            required
            autoComplete="name"
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <button type="submit" className="primary" disabled={coming.isPending}>
          {coming.isPending ? "Waiting for your passkey" : "Create a passkey and come in"}
        </button>
        <Providers
          verb="Come in with"
          comingBy={name.trim() === "" ? undefined : { link, name: name.trim() }}
        />
      </form>
      {coming.isError ? <Problem error={coming.error} /> : null}
    </Gate>
  );
}

/** The frame of the doors. */
export function Gate({ children }: { readonly children: ReactNode }): ReactElement {
  return (
    <main className="gate">
      <div className="gate-card">
        <span className="brand">
          <img src="/app/mark.svg" alt="" />
          TrustWarden
        </span>
        {children}
      </div>
    </main>
  );
}
