/**
 * K11: what a person proves itself with counts once and in one spelling, and wrong tries lock nobody out.
 *
 * There are no codes of one-time passwords here. A passkey's word over a challenge is in their place, and the tricks are the same:
 * spaces around it, a second use, another case of what it is known by.
 */
import type { SoftwareAuthenticator } from "../../test/support/authenticator.ts";
import type { RawAnswer } from "../../test/support/http.ts";
import { challengeFor, createPerson, sendConsole } from "../../test/support/people.ts";
import { defineScenario, expectSame } from "../scenario.ts";
import { expectCode, posting, WITH_CONSOLE } from "../support/people-cast.ts";
import type { World } from "../support/world.ts";

const REFUSED = [401, "principal_refused"] as const;
/** More than a lock-out would let through. */
const TRIES = 12;

interface Word {
  readonly id: string;
  readonly response: Readonly<Record<string, unknown>>;
}

async function wordOf({ server }: World, authenticator: SoftwareAuthenticator): Promise<Word> {
  const { id, response, ...rest } = authenticator.get(await challengeFor(server, "log-in"));
  return { ...rest, id: String(id), response: Object(response) };
}

const logIn = ({ server }: World, credential: object): Promise<RawAnswer> =>
  sendConsole(server, posting("/v1/session", { credential }));

const otherCase = (id: string): string =>
  id.replace(/[a-zA-Z]/, (letter) =>
    letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase(),
  );

/** The same text with a space in it, which signs nothing any more. */
function spaced({ response }: Word): Word["response"] {
  const text = Buffer.from(String(response.clientDataJSON), "base64url").toString();
  return { ...response, clientDataJSON: Buffer.from(text.replace("{", "{ ")).toString("base64url") };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "K11",
  title:
    "uses a person's word again, with spaces, and under another case of its key, and then tries to lock it out",
  expected: "refused each time; the person comes in by its next word all the same",
  weakening: "challenges-count-again",
  world: WITH_CONSOLE,
  prepare: async (world) => {
    // It counts no uses, as a synchronized passkey: nothing but the challenge tells a second use.
    const { authenticator } = await createPerson(world.server, {}, { isCounting: false });
    return { authenticator, used: await wordOf(world, authenticator) };
  },
  control: async (world, { used }) => {
    expectSame((await logIn(world, used)).status, 200, "a passkey's word, for the first time");
  },
  attack: async (world, { authenticator, used }) => {
    expectCode(await logIn(world, used), REFUSED, "the same word again");
    const word = await wordOf(world, authenticator);
    for (const [what, credential] of [
      ["a space before the key's name", { ...word, id: ` ${word.id}`, rawId: ` ${word.id}` }],
      ["padding behind it", { ...word, id: `${word.id}=`, rawId: `${word.id}=` }],
    ] as const)
      expectCode(await logIn(world, credential), [400, "request_malformed"], what);
    const cased = otherCase(word.id);
    expectCode(await logIn(world, { ...word, id: cased, rawId: cased }), REFUSED, "another case of the key");
    for (let turn = 0; turn < TRIES; turn += 1)
      expectCode(
        await logIn(world, { ...word, response: spaced(word) }),
        REFUSED,
        "a space in what was signed",
      );
    expectSame((await logIn(world, word)).status, 200, "the person itself, after all these tries");
  },
  evidence: async (ledger) => {
    await ledger.expect({ kind: "refuse", reason: "challenge_used" }, 1);
    await ledger.expect({ kind: "refuse", reason: "passkey_invalid" }, TRIES + 1);
    await ledger.expect({ kind: "session" }, 1);
  },
});
