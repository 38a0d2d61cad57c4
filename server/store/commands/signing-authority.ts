/**
 * What the writer signs SVIDs with: the active intermediate, JWT key and WIT key, and the keys that may become so.
 *
 * Commands read it at each use, never keep it: a step of the authority in the same group of commands counts for the
 * next one.
 */
import {
  type AuthoritySlot,
  activeSlotOf,
  certificateOf,
} from "@trustwarden/core/agentid/authority-slots.ts";
import type { TrustDomain } from "@trustwarden/core/agentid/spiffe-id.ts";
import type { CaCertificate } from "@trustwarden/core/agentid/svid-profile.ts";
import { isEqualBytes } from "@trustwarden/core/bytes.ts";
import { encodeSpki, formatThumbprint } from "@trustwarden/core/crypto.ts";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type { Signer } from "@trustwarden/core/signer.ts";
import type { SigningKey, TokenAccess } from "../authority-ports.ts";

/** The keys in use. */
interface InUse {
  readonly intermediate: CaCertificate;
  readonly intermediateSigner: Signer;
  readonly jwtSigner: Signer;
  readonly jwtKid: string;
  /** Null until a trust domain issues WIT-SVIDs. */
  readonly wit: { readonly signer: Signer; readonly kid: string } | null;
}

/** Owns the signers of this thread, by the id of their slot. */
export class SigningAuthority {
  readonly #trustDomain: TrustDomain;
  readonly #openSigner: (key: SigningKey) => Signer;
  readonly #token: TokenAccess | null;
  readonly #signers = new Map<string, Signer>();
  #inUse: InUse | undefined;

  constructor(options: {
    readonly trustDomain: TrustDomain;
    readonly openSigner: (key: SigningKey) => Signer;
    readonly token: TokenAccess | null;
  }) {
    this.#trustDomain = options.trustDomain;
    this.#openSigner = options.openSigner;
    this.#token = options.token;
  }

  /** What it signs with and may come to, for when what changed it turns out not to be kept. */
  snapshot(): () => void {
    const inUse = this.#inUse;
    const signers = [...this.#signers];
    return () => {
      this.#inUse = inUse;
      this.#signers.clear();
      for (const [id, signer] of signers) this.#signers.set(id, signer);
    };
  }

  /** @throws TrustWardenError `authority_conflict` before the state was read. */
  get inUse(): InUse {
    if (this.#inUse === undefined)
      throw new TrustWardenError("authority_conflict", { reason: "not read yet" });
    return this.#inUse;
  }

  /** Takes a key in. It signs nothing before its slot is active. @throws TrustWardenError the opener's refusal. */
  learn(id: string, key: SigningKey): void {
    this.#signers.set(id, this.#openSigner(key));
  }

  /**
   * Signs with the active slots from now on.
   *
   * @throws TrustWardenError `svid_untrusted` when a key is missing or another than its slot says.
   */
  use(slots: readonly AuthoritySlot[]): void {
    const intermediate = activeSlotOf({ slots }, "intermediate");
    const jwtSigner = this.#signerOf(activeSlotOf({ slots }, "jwt"));
    this.#inUse = {
      intermediate: certificateOf(intermediate, this.#trustDomain),
      intermediateSigner: this.#signerOf(intermediate),
      jwtSigner,
      jwtKid: formatThumbprint(jwtSigner.publicKey),
      wit: this.#witOf(slots),
    };
    const isKept = (id: string) =>
      slots.some((slot) => slot.id === id && slot.state !== "retired" && slot.state !== "revoked");
    for (const id of this.#signers.keys()) if (!isKept(id)) this.#signers.delete(id);
  }

  /** The signer of an intermediate whose key is still here; its revocation list may have to go on. */
  signerOfIntermediate(id: string): Signer | undefined {
    return this.#signers.get(id);
  }

  #witOf(slots: readonly AuthoritySlot[]): InUse["wit"] {
    const slot = slots.find(({ kind, state }) => kind === "wit" && state === "active");
    if (slot === undefined) return null;
    const signer = this.#signerOf(slot);
    return { signer, kid: formatThumbprint(signer.publicKey) };
  }

  #signerOf(slot: AuthoritySlot): Signer {
    const { id, spki } = slot;
    const signer = this.#signers.get(id) ?? this.#fromToken(slot);
    if (signer === undefined || !isEqualBytes(encodeSpki(signer.publicKey), spki)) {
      throw new TrustWardenError("svid_untrusted", {
        reason: "a signer does not hold the authority's key",
        id,
      });
    }
    return signer;
  }

  /** A key that is in no file; the token is asked once, when its slot begins to sign. */
  #fromToken({ id, custody, keyRef }: AuthoritySlot): Signer | undefined {
    if (custody !== "pkcs11" || keyRef === null || this.#token === null) return undefined;
    this.learn(id, { kind: "pkcs11", place: this.#token, id: keyRef });
    return this.#signers.get(id);
  }
}
