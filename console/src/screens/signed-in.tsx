/** Where an identity provider sends people back to: what it says goes to the server, and out of the address at once. */
import { useMutation } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type ReactElement, useEffect, useRef } from "react";
import { comeBack, SignInFailed } from "../api/identity-provider.ts";
import { Waiting } from "../parts/parts.tsx";
import { Problem } from "../parts/problem.tsx";
import { Gate } from "./sign-in.tsx";

/** The screen. */
export function SignedIn(): ReactElement {
  const { provider } = useParams({ from: "/signed-in/$provider" });
  const isTaken = useRef(false);
  const coming = useMutation({
    mutationFn: (answered: URLSearchParams) => comeBack(provider, answered),
    onSuccess: () => window.location.replace("/app"),
  });
  const { mutate, error } = coming;
  useEffect(() => {
    // React may look twice; a code counts once.
    if (isTaken.current) return;
    isTaken.current = true;
    const answered = new URLSearchParams(window.location.search);
    window.history.replaceState(null, "", window.location.pathname);
    mutate(answered);
  }, [mutate]);
  if (error === null) return <Waiting what="Signing you in" />;
  return (
    <Gate>
      <h1>You are not signed in</h1>
      {error instanceof SignInFailed ? <p role="alert">{error.message}</p> : <Problem error={error} />}
      <p className="muted">
        Whoever was never here before needs an invitation, and signs in through the link of that.
      </p>
      <a href="/app">Sign in again</a>
    </Gate>
  );
}
