/** D5: one credential, many spellings. */
import { encodeBase64, encodeBase64url, encodeUtf8, parseBase64 } from "@trustwarden/core/bytes.ts";
import { jsonOf, type RawRequest } from "../../test/support/http.ts";
import { defineScenario, expect, expectSame } from "../scenario.ts";
import { call } from "../support/client.ts";
import { expectTokenRefused, issueToken, prepareTokens, showToken } from "../support/tokens.ts";
import { signVisit } from "../support/visits.ts";

/** Order of P-256: `n - s` is the other half of every signature. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** The same signature, spelled the other way. */
function mirror(signature: Uint8Array): Uint8Array {
  const s = BigInt(`0x${Buffer.from(signature.subarray(32)).toString("hex")}`);
  return Buffer.concat([
    signature.subarray(0, 32),
    Buffer.from((ORDER - s).toString(16).padStart(64, "0"), "hex"),
  ]);
}

/** Texts that a lenient decoder reads as the same bytes. */
function respell(text: string): Readonly<Record<string, string>> {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(text.at(-1) ?? "A");
  return {
    padding: `${text}=`,
    "more padding": `${text}==`,
    "a space": `${text.slice(0, 8)} ${text.slice(8)}`,
    "a tab": `${text.slice(0, 8)}\t${text.slice(8)}`,
    "spare bits": `${text.slice(0, -1)}${alphabet[last ^ 1]}`,
    "a dot": `${text}.`,
  };
}

/** An intent that is used already, with its signature mirrored or its JSON spaced. */
function bendIntent(header: string): Readonly<Record<string, string>> {
  const envelope = Buffer.from(header, "base64url").toString("utf8");
  const json = JSON.parse(envelope);
  const [only] = json.signatures;
  const mirrored = { ...json, signatures: [{ ...only, sig: encodeBase64(mirror(parseBase64(only.sig))) }] };
  const encode = (text: string): string => encodeBase64url(encodeUtf8(text));
  return {
    "a mirrored signature": encode(JSON.stringify(mirrored)),
    "a space in its JSON": encode(envelope.replace(":", ": ")),
    "its members in another order": encode(
      JSON.stringify({ signatures: json.signatures, payload: json.payload, payloadType: json.payloadType }),
    ),
    "a newline behind": encode(`${envelope}\n`),
    "a byte order mark": encode(`\ufeff${envelope}`),
  };
}

/** Played by the runner. */
export const scenario = defineScenario({
  id: "D5",
  title:
    "sends a used intent, and an expired or foreign token, once more: padded, spaced, with other spare bits, mirrored",
  expected: "refused as used, or as no credential; a text is never what identifies one",
  weakening: "seen-by-text",
  world: {},
  mayChange: ["carriedOut"],
  prepare: async (world) => {
    await world.finance();
    const scene = await prepareTokens(world);
    return { ...scene, foreign: await issueToken(world, scene.agent, "https://elsewhere.test") };
  },
  control: async (world, scene) => {
    expectSame((await showToken(scene, scene.token)).status, 200, "an honest token");
    const { request } = await signVisit(world, { agent: scene.agent });
    const { url } = await world.finance();
    expectSame(
      (await call(url, request, { tls: scene.agent.tls })).status,
      200,
      "the first use of an intent",
    );
  },
  attack: async (world, scene) => {
    const { url } = await world.finance();
    const { request } = await signVisit(world, { agent: scene.agent });
    expectSame(
      (await call(url, request, { tls: scene.agent.tls })).status,
      200,
      "the first use of an intent",
    );
    const used = request.headers?.["trustwarden-intent"] ?? "";
    const again = { "the same text": used, ...respell(used), ...bendIntent(used) };
    for (const [what, text] of Object.entries(again)) {
      const resent: RawRequest = { ...request, headers: { ...request.headers, "trustwarden-intent": text } };
      const answer = await call(url, resent, { tls: scene.agent.tls });
      const isRefused = answer.status === 401 || answer.status === 400;
      expect(
        isRefused,
        `a used intent with ${what} is refused, and not ${answer.status} ${JSON.stringify(jsonOf(answer)).slice(0, 200)}`,
      );
    }
    for (const [what, token] of Object.entries(respell(scene.foreign)))
      await expectTokenRefused(scene, token, `a foreign token with ${what}`);
    for (const [what, token] of Object.entries(respell(scene.token)))
      await expectTokenRefused(scene, token, `a token with ${what}`);
  },
  evidence: async (ledger, { agent }) => {
    const principal = agent.answer.spiffe_id;
    await ledger.expect({ kind: "action", principal, outcome: "success" }, 1);
    await ledger.expect({ kind: "refuse", reason: "intent_replayed" }, 2);
  },
});
