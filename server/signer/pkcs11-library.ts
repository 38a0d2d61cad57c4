/**
 * The part of PKCS#11 that we use, as functions: a library's C_GetFunctionList, called through koffi.
 *
 * Loaded only where a deployment names a token, so that everybody else needs neither koffi nor a token's library. Every
 * call is synchronous: a certificate is signed inside one transaction (docs/decisions/0004).
 *
 * @see PKCS #11 Cryptographic Token Interface Base Specification 2.40, sections 3 and 5
 */
import { createRequire } from "node:module";
import { TrustWardenError } from "@trustwarden/core/error.ts";
import type koffiModule from "koffi";

type Koffi = typeof koffiModule;

/** Attribute of an object: type and value. */
export interface Attribute {
  readonly type: number;
  readonly value: Uint8Array;
}

export const CKA = {
  class: 0x0,
  token: 0x1,
  private: 0x2,
  label: 0x3,
  keyType: 0x100,
  id: 0x102,
  sensitive: 0x103,
  encrypt: 0x104,
  decrypt: 0x105,
  sign: 0x108,
  verify: 0x10a,
  valueLength: 0x161,
  extractable: 0x162,
  ecParams: 0x180,
  ecPoint: 0x181,
} as const;
const CKM = { ecKeyPairGen: 0x1040, ecdsa: 0x1041, aesKeyGen: 0x1080, aesGcm: 0x1087 } as const;

const CKR_OK = 0x0;
const CKR_USER_ALREADY_LOGGED_IN = 0x100;
const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191;
/** Both threads of the server use the library. */
const CKF_OS_LOCKING_OK = 2;
const CKF_RW_SESSION = 2;
const CKF_SERIAL_SESSION = 4;
const CKU_USER = 1;

/** Where each function stands in CK_FUNCTION_LIST, behind the version. */
const INDEX = {
  initialize: 0,
  getSlotList: 4,
  getTokenInfo: 6,
  openSession: 12,
  login: 18,
  destroyObject: 22,
  getAttributeValue: 24,
  findObjectsInit: 26,
  findObjects: 27,
  findObjectsFinal: 28,
  encryptInit: 29,
  encrypt: 30,
  decryptInit: 33,
  decrypt: 34,
  signInit: 42,
  sign: 43,
  generateKey: 58,
  generateKeyPair: 59,
} as const;
const FUNCTIONS = 60;
const POINTER_BYTES = 8;
/** CK_TOKEN_INFO is 208 bytes; the label is the first 32. */
const TOKEN_INFO_BYTES = 256;
const LABEL_BYTES = 32;
const MAX_SLOTS = 64;
const MAX_OBJECTS = 2;
const MAX_VALUE_BYTES = 512;
/** Six members of eight bytes. */
const GCM_PARAMETER_BYTES = 48;
const GCM_TAG_BYTES = 16;
/** What a token says of a ciphertext that is not of this key and these bytes; SoftHSM has no code of its own for it. */
const CKR_REFUSED_CIPHERTEXT = [0x5, 0x40, 0x41];

type Call = (name: keyof typeof INDEX, ...args: readonly unknown[]) => number;

/** Libraries stay for the life of the thread: koffi unloads one that nothing refers to, under the pointers into it. */
const libraries = new Set<ReturnType<Koffi["load"]>>();

/** What a ciphertext is bound to. */
export interface GcmParameters {
  readonly iv: Uint8Array;
  readonly aad: Uint8Array;
}

/** One open session of a token, logged in. Not shared between threads; the login is the process's. */
export class Pkcs11Session {
  readonly #call: Call;
  readonly #session: bigint;

  /** @throws TrustWardenError `signer_unavailable`. */
  constructor(options: { readonly module: string; readonly token: string; readonly pin: string }) {
    this.#call = loadLibrary(options.module);
    this.#initialize();
    const slot = this.#findSlot(options.token);
    const session = new BigUint64Array(1);
    this.#check("openSession", slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, null, null, session);
    this.#session = session[0] ?? 0n;
    const pin = Buffer.from(options.pin, "utf8");
    this.#accept([CKR_OK, CKR_USER_ALREADY_LOGGED_IN], "login", this.#session, CKU_USER, pin, pin.length);
  }

  /** Makes a key pair; both halves have the given attributes. */
  generateKeyPair(publicKey: readonly Attribute[], privateKey: readonly Attribute[]): void {
    const mechanism = { mechanism: CKM.ecKeyPairGen, parameter: null, length: 0 };
    const handles = [new BigUint64Array(1), new BigUint64Array(1)] as const;
    this.#check(
      "generateKeyPair",
      this.#session,
      mechanism,
      publicKey.map(toNative),
      publicKey.length,
      privateKey.map(toNative),
      privateKey.length,
      handles[0],
      handles[1],
    );
  }

  /** The one object with these attributes. @throws TrustWardenError `signer_unavailable` for none or several. */
  findObject(attributes: readonly Attribute[]): bigint {
    this.#check("findObjectsInit", this.#session, attributes.map(toNative), attributes.length);
    const handles = new BigUint64Array(MAX_OBJECTS);
    const count = new BigUint64Array(1);
    try {
      this.#check("findObjects", this.#session, handles, MAX_OBJECTS, count);
    } finally {
      this.#check("findObjectsFinal", this.#session);
    }
    if (count[0] !== 1n) throw unavailable("not exactly one such key in the token");
    return handles[0] ?? 0n;
  }

  readAttribute(object: bigint, type: number): Uint8Array {
    const value = new Uint8Array(MAX_VALUE_BYTES);
    const template = [{ type, value, length: value.length }];
    this.#check("getAttributeValue", this.#session, object, template, 1);
    const length = Number(template[0]?.length ?? 0);
    if (length < 1 || length > value.length) throw unavailable("an attribute of an odd length");
    return value.slice(0, length);
  }

  /** @param digest - what the mechanism signs. */
  sign(key: bigint, digest: Uint8Array, signatureBytes: number): Uint8Array {
    this.#check("signInit", this.#session, { mechanism: CKM.ecdsa, parameter: null, length: 0 }, key);
    const signature = new Uint8Array(signatureBytes);
    const length = new BigUint64Array([BigInt(signatureBytes)]);
    this.#check("sign", this.#session, digest, digest.length, signature, length);
    if (length[0] !== BigInt(signatureBytes)) throw unavailable("a signature of an odd length");
    return signature;
  }

  /** Makes an AES key with these attributes. */
  generateAesKey(attributes: readonly Attribute[]): void {
    const mechanism = { mechanism: CKM.aesKeyGen, parameter: null, length: 0 };
    const handle = new BigUint64Array(1);
    this.#check("generateKey", this.#session, mechanism, attributes.map(toNative), attributes.length, handle);
  }

  /** AES-GCM. @returns ciphertext and tag. */
  encrypt(key: bigint, data: Uint8Array, { iv, aad }: GcmParameters): Uint8Array {
    this.#check("encryptInit", this.#session, gcmOf({ iv, aad }), key);
    const sealed = new Uint8Array(data.length + GCM_TAG_BYTES);
    const length = new BigUint64Array([BigInt(sealed.length)]);
    this.#check("encrypt", this.#session, data, data.length, sealed, length);
    if (length[0] !== BigInt(sealed.length)) throw unavailable("a ciphertext of an odd length");
    return sealed;
  }

  /** @throws TrustWardenError `seal_broken` for another key, other additional data or altered bytes. */
  decrypt(key: bigint, sealed: Uint8Array, { iv, aad }: GcmParameters): Uint8Array {
    this.#check("decryptInit", this.#session, gcmOf({ iv, aad }), key);
    const data = new Uint8Array(sealed.length);
    const length = new BigUint64Array([BigInt(data.length)]);
    const code = this.#call("decrypt", this.#session, sealed, sealed.length, data, length);
    if (CKR_REFUSED_CIPHERTEXT.includes(code)) throw new TrustWardenError("seal_broken", { code });
    if (code !== CKR_OK) throw unavailable(`C_decrypt returned 0x${code.toString(16)}`);
    return data.slice(0, Number(length[0]));
  }

  destroy(object: bigint): void {
    this.#check("destroyObject", this.#session, object);
  }

  #initialize(): void {
    const args = {
      create: null,
      destroy: null,
      lock: null,
      unlock: null,
      flags: CKF_OS_LOCKING_OK,
      reserved: null,
    };
    this.#accept([CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED], "initialize", args);
  }

  #findSlot(label: string): bigint {
    const slots = new BigUint64Array(MAX_SLOTS);
    const count = new BigUint64Array([BigInt(MAX_SLOTS)]);
    this.#check("getSlotList", 1, slots, count);
    const found = [...slots.subarray(0, Number(count[0]))].filter((slot) => this.#labelOf(slot) === label);
    const [slot] = found;
    if (slot === undefined || found.length > 1) throw unavailable("not exactly one token of that name");
    return slot;
  }

  #labelOf(slot: bigint): string {
    const info = new Uint8Array(TOKEN_INFO_BYTES);
    this.#check("getTokenInfo", slot, info);
    return Buffer.from(info.subarray(0, LABEL_BYTES)).toString("utf8").trimEnd();
  }

  #check(name: keyof typeof INDEX, ...args: readonly unknown[]): void {
    this.#accept([CKR_OK], name, ...args);
  }

  #accept(accepted: readonly number[], name: keyof typeof INDEX, ...args: readonly unknown[]): void {
    const code = Number(this.#call(name, ...args));
    if (!accepted.includes(code)) throw unavailable(`C_${name} returned 0x${code.toString(16)}`);
  }
}

/** Loads the library and the calls that we make. @throws TrustWardenError `signer_unavailable`. */
function loadLibrary(path: string): Call {
  try {
    // The one place that loads native code by name; without the optional package there is no token.
    const koffi: Koffi = createRequire(import.meta.url)("koffi");
    return bind(koffi, path);
  } catch (cause) {
    if (cause instanceof TrustWardenError) throw cause;
    throw new TrustWardenError(
      "signer_unavailable",
      { reason: "the token's library cannot be loaded" },
      { cause },
    );
  }
}

/** Argument types of each call; structures as the standard lays them out. */
function signaturesOf(koffi: Koffi) {
  const attribute = koffi.struct({ type: "ulong", value: "uint8_t *", length: "ulong" });
  const mechanism = koffi.struct({ mechanism: "ulong", parameter: "void *", length: "ulong" });
  const gcm = koffi.struct({
    iv: "uint8_t *",
    ivBytes: "ulong",
    ivBits: "ulong",
    aad: "uint8_t *",
    aadBytes: "ulong",
    tagBits: "ulong",
  });
  const gcmMechanism = koffi.struct({
    mechanism: "ulong",
    parameter: koffi.pointer(gcm),
    length: "ulong",
  });
  const args = koffi.struct({
    create: "void *",
    destroy: "void *",
    lock: "void *",
    unlock: "void *",
    flags: "ulong",
    reserved: "void *",
  });
  const template = koffi.pointer(attribute);
  return {
    initialize: koffi.proto("ulong", [koffi.pointer(args)]),
    getSlotList: koffi.proto("ulong", ["uint8_t", "uint64_t *", "uint64_t *"]),
    getTokenInfo: koffi.proto("ulong", ["ulong", "uint8_t *"]),
    openSession: koffi.proto("ulong", ["ulong", "ulong", "void *", "void *", "uint64_t *"]),
    login: koffi.proto("ulong", ["ulong", "ulong", "uint8_t *", "ulong"]),
    destroyObject: koffi.proto("ulong", ["ulong", "ulong"]),
    getAttributeValue: koffi.proto("ulong", ["ulong", "ulong", koffi.inout(template), "ulong"]),
    findObjectsInit: koffi.proto("ulong", ["ulong", template, "ulong"]),
    findObjects: koffi.proto("ulong", ["ulong", "uint64_t *", "ulong", "uint64_t *"]),
    findObjectsFinal: koffi.proto("ulong", ["ulong"]),
    signInit: koffi.proto("ulong", ["ulong", koffi.pointer(mechanism), "ulong"]),
    encryptInit: koffi.proto("ulong", ["ulong", koffi.pointer(gcmMechanism), "ulong"]),
    encrypt: koffi.proto("ulong", ["ulong", "uint8_t *", "ulong", "uint8_t *", "uint64_t *"]),
    decryptInit: koffi.proto("ulong", ["ulong", koffi.pointer(gcmMechanism), "ulong"]),
    decrypt: koffi.proto("ulong", ["ulong", "uint8_t *", "ulong", "uint8_t *", "uint64_t *"]),
    generateKey: koffi.proto("ulong", ["ulong", koffi.pointer(mechanism), template, "ulong", "uint64_t *"]),
    sign: koffi.proto("ulong", ["ulong", "uint8_t *", "ulong", "uint8_t *", "uint64_t *"]),
    generateKeyPair: koffi.proto("ulong", [
      "ulong",
      koffi.pointer(mechanism),
      template,
      "ulong",
      template,
      "ulong",
      "uint64_t *",
      "uint64_t *",
    ]),
  };
}

function bind(koffi: Koffi, path: string): Call {
  const signatures = signaturesOf(koffi);
  const library = koffi.load(path);
  libraries.add(library);
  const getFunctionList = library.func("C_GetFunctionList", "ulong", ["_Out_ void **"]);
  const list: unknown[] = [null];
  if (Number(getFunctionList(list)) !== CKR_OK) throw unavailable("C_GetFunctionList failed");
  const pointers: unknown[] = koffi.decode(list[0], POINTER_BYTES, koffi.array("void *", FUNCTIONS));
  return (name, ...values) => koffi.call(pointers[INDEX[name]], signatures[name], ...values);
}

function gcmOf({ iv, aad }: GcmParameters) {
  const parameter = {
    iv,
    ivBytes: iv.length,
    ivBits: iv.length * 8,
    aad,
    aadBytes: aad.length,
    tagBits: GCM_TAG_BYTES * 8,
  };
  return { mechanism: CKM.aesGcm, parameter, length: GCM_PARAMETER_BYTES };
}

function toNative({ type, value }: Attribute) {
  return { type, value, length: value.length };
}

function unavailable(reason: string): TrustWardenError {
  return new TrustWardenError("signer_unavailable", { reason });
}
