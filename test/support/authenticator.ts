/**
 * A software authenticator: makes and uses passkeys as a browser and its device would, byte by byte.
 *
 * It writes the CBOR and the authenticator data of W3C WebAuthn Level 3 §6.1 and §6.5 itself, so that a test can also
 * send what no browser would.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

const FLAG_PRESENT = 0x01;
const FLAG_VERIFIED = 0x04;
const FLAG_BACKUP_ELIGIBLE = 0x08;
const FLAG_BACKED_UP = 0x10;
const FLAG_ATTESTED = 0x40;
/** An empty map. */
const NO_ATTESTATION = { format: "none", statement: Buffer.from([0xa0]) };

/** What an authenticator of a test may do otherwise than an honest one. */
export interface AuthenticatorOptions {
  readonly origin: string;
  readonly rpId?: string;
  /** False: somebody touched it, and nobody knows who. */
  readonly isUserVerified?: boolean;
  /** Whether it counts its uses. */
  readonly isCounting?: boolean;
  /** Format and CBOR of an attestation statement; none unless given. */
  readonly attestation?: { readonly format: string; readonly statement: Buffer };
  /** Whether a page of another origin showed the frame that asked. */
  readonly isCrossOrigin?: boolean;
}

/** JSON of a credential, as `toJSON()` gives it. */
export type CredentialJson = Readonly<Record<string, unknown>>;

/** A passkey, as its device holds it. */
interface Held {
  readonly credentialId: string;
  readonly keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject };
}

/** One device with one passkey. */
export class SoftwareAuthenticator {
  readonly credentialId: string;
  counter = 0;
  readonly #options: AuthenticatorOptions;
  readonly #keys: Held["keys"];

  constructor(options: AuthenticatorOptions, known?: Held) {
    this.#options = options;
    this.credentialId = known?.credentialId ?? randomBytes(32).toString("base64url");
    this.#keys = known?.keys ?? generateKeyPairSync("ec", { namedCurve: "P-256" });
  }

  /** The same device with the same key, behaving otherwise. */
  behaving(options: AuthenticatorOptions): SoftwareAuthenticator {
    const other = new SoftwareAuthenticator(options, { keys: this.#keys, credentialId: this.credentialId });
    other.counter = this.counter;
    return other;
  }

  /** The key itself, as whoever has a copy of what a password manager keeps. */
  copiedKey(): KeyObject {
    return this.#keys.privateKey;
  }

  /** `navigator.credentials.create()`. */
  create(challenge: string): CredentialJson {
    const id = Buffer.from(this.credentialId, "base64url");
    const { x = "", y = "" } = this.#keys.publicKey.export({ format: "jwk" });
    const cose = Buffer.concat([
      Buffer.from([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]),
      Buffer.from(x, "base64url"),
      Buffer.from([0x22, 0x58, 0x20]),
      Buffer.from(y, "base64url"),
    ]);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(id.length);
    const attested = Buffer.concat([Buffer.alloc(16), length, id, cose]);
    const data = this.#authenticatorData(FLAG_ATTESTED, attested);
    const { format, statement } = this.#options.attestation ?? NO_ATTESTATION;
    const attestationObject = Buffer.concat([
      Buffer.from([0xa3, ...cborText("fmt"), ...cborText(format), ...cborText("attStmt")]),
      statement,
      Buffer.from([...cborText("authData"), 0x59, data.length >> 8, data.length & 0xff]),
      data,
    ]);
    const clientDataJSON = this.#clientData("webauthn.create", challenge);
    return this.#credential({ clientDataJSON, attestationObject: attestationObject.toString("base64url") });
  }

  /** `navigator.credentials.get()`. */
  get(challenge: string): CredentialJson {
    if (this.#options.isCounting !== false) this.counter += 1;
    const data = this.#authenticatorData(0, Buffer.alloc(0));
    const clientDataJSON = this.#clientData("webauthn.get", challenge);
    const hash = createHash("sha256").update(Buffer.from(clientDataJSON, "base64url")).digest();
    const signature = sign("sha256", Buffer.concat([data, hash]), this.#keys.privateKey);
    return this.#credential({
      clientDataJSON,
      authenticatorData: data.toString("base64url"),
      signature: signature.toString("base64url"),
      userHandle: null,
    });
  }

  #credential(response: Readonly<Record<string, unknown>>): CredentialJson {
    const { credentialId: id } = this;
    return { id, rawId: id, type: "public-key", response, clientExtensionResults: {} };
  }

  #authenticatorData(flags: number, rest: Buffer): Buffer {
    const { origin, rpId = new URL(origin).hostname, isUserVerified = true } = this.#options;
    const verified = isUserVerified ? FLAG_VERIFIED : 0;
    const backup = FLAG_BACKUP_ELIGIBLE | FLAG_BACKED_UP;
    const fixed = Buffer.alloc(37);
    createHash("sha256").update(rpId).digest().copy(fixed);
    fixed[32] = FLAG_PRESENT | verified | backup | flags;
    fixed.writeUInt32BE(this.counter, 33);
    return Buffer.concat([fixed, rest]);
  }

  #clientData(type: string, challenge: string): string {
    const { origin, isCrossOrigin = false } = this.#options;
    const json = JSON.stringify({ type, challenge, origin, crossOrigin: isCrossOrigin });
    return Buffer.from(json).toString("base64url");
  }
}

/** A short text string of CBOR. */
function cborText(text: string): readonly number[] {
  return [0x60 + text.length, ...Buffer.from(text)];
}
