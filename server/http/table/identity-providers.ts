/** Rows about people who sign in through an identity provider. What it says comes by a page of ours, so that no GET opens anything. */
import {
  firstPasskey,
  identityAddition,
  identityProviderList,
  identityProviderPath,
  providerOptions,
  subjectComing,
  subjectLogin,
} from "@trustwarden/core/api/identity-providers.ts";
import { sessionAnswer } from "@trustwarden/core/api/people.ts";
import {
  addFirstPasskey,
  addIdentity,
  listProviders,
  offerProviderOptions,
} from "../acts/identity-providers.ts";
import { come, logIn } from "../acts/people.ts";
import { CONSOLE_ONLY, defineGuarded, definePublic, type Route } from "../route.ts";

/** Put on the table by `routes.ts`. */
export const IDENTITY_PROVIDER_ROUTES: readonly Route[] = [
  definePublic({
    method: "GET",
    path: "/v1/identity-providers",
    listeners: CONSOLE_ONLY,
    summary: "Identity providers by which people may sign in",
    answer: identityProviderList,
    act: listProviders,
  }),
  definePublic({
    method: "GET",
    path: "/v1/identity-providers/:name/options",
    listeners: CONSOLE_ONLY,
    summary: "Where a browser goes to sign in there; the same for everybody",
    params: identityProviderPath,
    answer: providerOptions,
    act: offerProviderOptions,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/people/by-provider",
    listeners: CONSOLE_ONLY,
    summary: "Come in by an invitation, known by an identity provider",
    access: ["enrollee"],
    enrolment: "subject",
    recording: "with_state",
    body: subjectComing,
    answer: sessionAnswer,
    action: () => "create:person",
    subject: () => "none",
    act: come,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/session/by-provider",
    listeners: CONSOLE_ONLY,
    summary: "Log in through an identity provider",
    access: ["person"],
    opens: "provider",
    recording: "with_state",
    body: subjectLogin,
    answer: sessionAnswer,
    action: () => "create:session",
    subject: () => "self",
    act: logIn,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/session/passkeys/first",
    listeners: CONSOLE_ONLY,
    summary: "The first passkey of who has just signed in through an identity provider",
    access: ["person"],
    recording: "with_state",
    body: firstPasskey,
    answer: sessionAnswer,
    action: () => "create:passkey",
    subject: () => "self",
    act: addFirstPasskey,
  }),
  defineGuarded({
    method: "POST",
    path: "/v1/session/identities",
    listeners: CONSOLE_ONLY,
    summary: "A further identity provider by which the same person signs in, with the word of a passkey",
    access: ["person"],
    recording: "with_state",
    body: identityAddition,
    answer: sessionAnswer,
    action: () => "create:identity",
    subject: () => "self",
    act: addIdentity,
  }),
];
