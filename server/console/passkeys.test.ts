/** What a browser may bring as a passkey, beyond what the tests of the whole server show. */
import type { RegistrationResponse } from "@trustwarden/core/api/people.ts";
import { registrationResponse } from "@trustwarden/core/api/people.ts";
import { describe, expect, it } from "vitest";
import { type AuthenticatorOptions, SoftwareAuthenticator } from "../../test/support/authenticator.ts";
import { verifyRegistration } from "./passkeys.ts";

const PLACE = { challenge: "AAAA", origin: "http://localhost:7446", rpId: "localhost" };

function created(options: Partial<AuthenticatorOptions> = {}): RegistrationResponse {
  const device = new SoftwareAuthenticator({ origin: PLACE.origin, ...options });
  return registrationResponse.parse(device.create(PLACE.challenge));
}

/** CBOR of `{ "x5c": [] }`. */
const CERTIFICATES = Buffer.from([0xa1, 0x63, 0x78, 0x35, 0x63, 0x80]);
const EMPTY = Buffer.from([0xa0]);

describe("a new passkey", () => {
  it("comes without a statement of its maker", async () => {
    const { spki } = await verifyRegistration(created(), PLACE);
    expect(spki.length).toBeGreaterThan(64);
  });

  it.each([
    ["android-key", EMPTY],
    ["android-safetynet", EMPTY],
    ["fido-u2f", CERTIFICATES],
    ["packed", CERTIFICATES],
    ["nonsense", EMPTY],
  ])(
    "is refused before certificates are read that could name places to fetch from: %s",
    async (format, statement) => {
      const attested = created({ attestation: { format, statement } });
      await expect(verifyRegistration(attested, PLACE)).rejects.toMatchObject({
        code: "passkey_invalid",
        details: { reason: "attestation" },
      });
    },
  );

  it("may say by its own key alone that it was made there, and then has to have signed so", async () => {
    const unsigned = created({ attestation: { format: "packed", statement: EMPTY } });
    await expect(verifyRegistration(unsigned, PLACE)).rejects.toMatchObject({
      code: "passkey_invalid",
      details: { reason: "not as WebAuthn has it" },
    });
  });

  it("is not made in a frame of another origin's page", async () => {
    await expect(verifyRegistration(created({ isCrossOrigin: true }), PLACE)).rejects.toMatchObject({
      code: "passkey_invalid",
      details: { reason: "framed" },
    });
  });
});
