/** Documents that passkeys sign: what is taken, and everything that only looks like it. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  completeByPasskey,
  draftEnvelope,
  type EnvelopeDraft,
  parseEnvelope,
  verifyEnvelope,
} from "./dsse.ts";
import { TrustWardenError } from "./error.ts";
import { challengeOf, type Passkey, readAuthenticatorData, readDeviceSignature } from "./passkey.ts";

const HOST = "console.acme.test";
const PRESENT = 0x01;
const VERIFIED = 0x04;
const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const passkey: Passkey = { publicKey, rpId: HOST, origin: `https://${HOST}` };
const later: Passkey = { publicKey, rpId: null, origin: null };
const draft = draftEnvelope("ticket", { name: "agent" }, "keyid");

interface Device {
  readonly draft?: EnvelopeDraft;
  readonly flags?: number;
  readonly rpId?: string;
  readonly key?: KeyObject;
  readonly origin?: string;
  readonly client?: (challenge: string, origin: string) => string;
  readonly more?: Buffer;
}

const plainClient = (challenge: string, origin: string): string =>
  JSON.stringify({ type: "webauthn.get", challenge, origin, crossOrigin: false });

function envelopeOf(device: Device = {}): string {
  const {
    rpId = HOST,
    flags = PRESENT | VERIFIED,
    origin = `https://${HOST}`,
    client = plainClient,
  } = device;
  const data = Buffer.concat([
    createHash("sha256").update(rpId).digest(),
    Buffer.from([flags, 0, 0, 0, 7]),
    device.more ?? Buffer.alloc(0),
  ]);
  const clientData = Buffer.from(client(challengeOf((device.draft ?? draft).pae), origin));
  const signed = Buffer.concat([data, createHash("sha256").update(clientData).digest()]);
  return completeByPasskey(draft, {
    authenticatorData: data.toString("base64url"),
    clientDataJSON: clientData.toString("base64url"),
    signature: sign("sha256", signed, device.key ?? privateKey).toString("base64url"),
  });
}

function reasonOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    if (error instanceof TrustWardenError) return `${error.code} ${String(error.details.reason)}`;
    throw error;
  }
  return "taken";
}

const verify = (text: string, key: Passkey = passkey): unknown =>
  reasonOf(() => verifyEnvelope(parseEnvelope(text), "ticket", key));

describe("an envelope that a passkey signed", () => {
  it("verifies at its origin, and later by the host that the key is bound to", () => {
    const text = envelopeOf();
    expect(verifyEnvelope(parseEnvelope(text), "ticket", passkey)).toEqual({ name: "agent" });
    expect(verify(text, later)).toBe("taken");
    expect(verify(text, { ...later, rpId: HOST })).toBe("taken");
    const local = { rpId: "localhost", origin: "http://localhost:7446" };
    expect(verify(envelopeOf(local), later)).toBe("taken");
  });

  it.each<[string, string, Device, Passkey]>([
    [
      "another document",
      "challenge",
      { draft: draftEnvelope("ticket", { name: "other" }, "keyid") },
      passkey,
    ],
    [
      "another type of document",
      "challenge",
      { draft: draftEnvelope("entry", { name: "agent" }, "keyid") },
      passkey,
    ],
    ["another origin", "origin", { origin: "https://elsewhere.test" }, passkey],
    ["another port", "origin", { origin: `https://${HOST}:8443` }, passkey],
    ["another origin, later", "relying party", { origin: "https://elsewhere.test" }, later],
    ["an origin without encryption, later", "origin", { origin: `http://${HOST}` }, later],
    [
      "another host, later",
      "relying party",
      { origin: "https://a.test", rpId: "a.test" },
      { ...later, rpId: HOST },
    ],
    ["another relying party", "relying party", { rpId: "elsewhere.test" }, passkey],
    ["nobody whom the device verified", "user not verified", { flags: PRESENT }, passkey],
    ["nobody who was there", "user not verified", { flags: VERIFIED }, passkey],
    ["a device with extensions", "authenticator data", { flags: 0x85, more: Buffer.from([0xa0]) }, passkey],
    ["a device that says it has more", "authenticator data", { flags: 0x85 }, passkey],
    [
      "another key",
      "signature",
      { key: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey },
      passkey,
    ],
    [
      "a frame of another page",
      "client data",
      {
        client: (challenge, origin) =>
          JSON.stringify({ type: "webauthn.get", challenge, origin, crossOrigin: true }),
      },
      passkey,
    ],
    [
      "a registration",
      "client data",
      {
        client: (challenge, origin) =>
          JSON.stringify({ type: "webauthn.create", challenge, origin, crossOrigin: false }),
      },
      passkey,
    ],
    [
      "a challenge that stands twice",
      "client data",
      { client: (challenge, origin) => plainClient(challenge, origin).replace("{", `{"challenge":"x",`) },
      passkey,
    ],
    ["too much text", "authenticator data", { client: (c, o) => plainClient(c, o).padEnd(1025) }, passkey],
  ])("is refused by %s", (_, reason, device, key) => {
    expect(verify(envelopeOf(device), key)).toBe(`signature_invalid ${reason}`);
  });

  it("is never taken for one of a file's key, nor that for one of a passkey", () => {
    const form = "signature_invalid form of the signature";
    expect(reasonOf(() => verifyEnvelope(parseEnvelope(envelopeOf()), "ticket", publicKey))).toBe(form);
    const plain = draft.complete(sign("sha256", draft.pae, { key: privateKey, dsaEncoding: "ieee-p1363" }));
    expect(verify(plain)).toBe(form);
  });

  it("has an assertion of exactly two members", () => {
    const { payload, payloadType, signatures } = JSON.parse(envelopeOf());
    const [{ keyid, sig, webauthn }] = signatures;
    for (const other of [null, {}, { ...webauthn, x: "" }, { ...webauthn, client_data: 1 }, "x"]) {
      const text = JSON.stringify({ payload, payloadType, signatures: [{ keyid, sig, webauthn: other }] });
      expect(reasonOf(() => parseEnvelope(text))).toBe("dsse_malformed assertion");
    }
  });
});

describe("what a device writes", () => {
  it("is read as it is, and refused when it is anything else", () => {
    const data = Buffer.alloc(37);
    data[32] = 0x1d;
    data.writeUInt32BE(9, 33);
    expect(readAuthenticatorData(data)).toEqual({ counter: 9, isBackupEligible: true, isBackedUp: true });
    expect(reasonOf(() => readAuthenticatorData(data.subarray(1)))).toContain("passkey_invalid");
    const der = (text: string) => reasonOf(() => readDeviceSignature(Buffer.from(text, "hex")));
    expect(der("3006020101020102")).toBe("taken");
    for (const text of [
      "",
      "3006020101020102ff",
      "3007020101020102",
      "3006030101020102",
      "3003020101",
      `3026${"0221"}01${"00".repeat(32)}020101`,
    ])
      expect(der(text)).toBe("passkey_invalid signature");
  });
});
