import { createPublicKey, verify } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeBase64, encodeUtf8 } from "../bytes.ts";
import { TrustWardenError } from "../error.ts";
import { issueAcknowledgement, verifyAcknowledgement } from "./acknowledgement.ts";
import { type Checkpoint, issueCheckpoint, requireOrigin, verifyCheckpoint } from "./checkpoint.ts";
import { createTestLogSigner } from "./ledger.test.support.ts";
import { EMPTY_ROOT, leafHash } from "./merkle.ts";
import {
  createNoteSigner,
  formatVkey,
  issueNote,
  parseVkey,
  rawEd25519Key,
  verifyNote,
} from "./signed-note.ts";

const signer = createTestLogSigner();
const origin = "ledger.acme.test/2026q4";
const vkey = formatVkey(origin, rawEd25519Key(signer.publicKey));
const head: Checkpoint = { origin, size: 20_852_163, root: leafHash(Uint8Array.of(1)) };
const malformed = expect.objectContaining({ code: "checkpoint_malformed" });
const untrusted = expect.objectContaining({ code: "checkpoint_untrusted" });

describe("signed notes", () => {
  it("verify the examples of the specification and of Go's note package", () => {
    const specNote =
      "This is an example message.\n\n\u2014 example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    const specVkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    expect(verifyNote(specNote, parseVkey(specVkey))).toBe("This is an example message.\n");
    const goNote =
      "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    const goVkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    expect(verifyNote(goNote, parseVkey(goVkey))).toContain("answer to your problem");
    expect(() => verifyNote(goNote, parseVkey(specVkey))).toThrow(untrusted);
  });

  it("have signature lines of em dash, space, name, space, padded base64 (17)", () => {
    const note = issueCheckpoint(head, signer);
    const line = note.slice(note.lastIndexOf("\n\n") + 2);
    expect(line).toMatch(/^\u2014 ledger\.acme\.test\/2026q4 [A-Za-z0-9+/]{91}=\n$/);
    expect(Buffer.from(line).subarray(0, 3).toString("hex")).toBe("e28094");
    const wrong = [
      line.replace("\u2014", "-"),
      line.replace("\u2014 ", "\u2014  "),
      line.replace("=\n", "\n"),
      line.replace("=\n", "=\r\n"),
      line.replace("=\n", "= \n"),
    ];
    for (const bad of wrong) {
      expect(() => verifyNote(note.replace(line, bad), parseVkey(vkey))).toThrow(malformed);
    }
  });

  it("have a key id that follows from name and key, and vkeys that parse back (18)", () => {
    const key = parseVkey(vkey);
    expect(key.name).toBe(origin);
    expect(formatVkey(key.name, rawEd25519Key(key.publicKey))).toBe(vkey);
    const [name = "", id = "", base64 = ""] = vkey.split("+");
    const wrong = [
      `${name}+${id}`,
      `${name}x+${id}+${base64}`,
      `${name}+00000000+${base64}`,
      `${name}+${id.toUpperCase()}+${base64}`,
      `${name}+${id}+${base64} `,
      `+${id}+${base64}`,
    ];
    for (const text of wrong) expect(() => parseVkey(text)).toThrow(malformed);
  });

  it("ignore unknown signatures, reject a bad one of the known key, and take sixteen and more (20)", () => {
    const note = issueCheckpoint(head, signer);
    const others = Array.from({ length: 20 }, (_, seed) => {
      const other = issueNote(
        "x\n",
        createNoteSigner({ name: `witness${seed}.test`, signer: createTestLogSigner(seed + 2) }),
      );
      return other.slice(other.indexOf("\u2014"));
    });
    expect(verifyCheckpoint(note + others.join(""), vkey).size).toBe(head.size);
    const own = note.slice(note.indexOf("\u2014"));
    const bad = own.replace(
      / ([A-Za-z0-9+/]{10})[A-Za-z0-9+/]/,
      (_, start) => ` ${start}${own.includes(`${start}A`) ? "B" : "A"}`,
    );
    expect(() => verifyCheckpoint(note + bad, vkey)).toThrow(untrusted);
    expect(() => verifyCheckpoint(note.replace(own, others.join("")), vkey)).toThrow(untrusted);
    expect(() => verifyCheckpoint(note + others[0]?.repeat(64), vkey)).toThrow(malformed);
  });

  it("reject control characters and text that is not well-formed (20)", () => {
    const note = issueCheckpoint(head, signer);
    for (const bad of ["\u0000", "\t", "\r", "\u001f", "\ud800"]) {
      expect(() => verifyNote(note.replace("ledger", `led${bad}ger`), parseVkey(vkey))).toThrow(malformed);
    }
  });

  it("refuse keys of small order, under which one signature fits many texts (39)", () => {
    const p = 2n ** 255n - 19n;
    const lowOrder = [0n, 1n, p - 1n, p, p + 1n].map((y) =>
      Buffer.from(y.toString(16).padStart(64, "0"), "hex").reverse(),
    );
    lowOrder.push(Buffer.from("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "hex"));
    lowOrder.push(Buffer.from("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "hex"));
    for (const raw of lowOrder) {
      expect(() => parseVkey(formatVkey(origin, raw))).toThrow(malformed);
      const signed = Uint8Array.from(raw);
      signed[31] = (signed[31] ?? 0) | 0x80;
      expect(() => parseVkey(formatVkey(origin, signed))).toThrow(malformed);
    }
  });

  it("refuse a signature whose S is not reduced (39)", () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const text = "x\n";
    const signature = Buffer.from(signer.sign(encodeUtf8(text)));
    const s = BigInt(`0x${Buffer.from(signature.subarray(32)).reverse().toString("hex")}`) + order;
    const twin = Buffer.concat([
      signature.subarray(0, 32),
      Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse(),
    ]);
    const note = issueNote(text, createNoteSigner({ name: origin, signer }));
    const blob = Buffer.from(note.split(" ").at(-1) ?? "", "base64");
    const forged = note.replace(
      blob.toString("base64"),
      Buffer.concat([blob.subarray(0, 4), twin]).toString("base64"),
    );
    expect(verifyNote(note, parseVkey(vkey))).toBe(text);
    expect(() => verifyNote(forged, parseVkey(vkey))).toThrow(untrusted);
  });

  it("never make the parser do anything but answer or refuse", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string().map((text) => `${text}\n\n\u2014 ${text} ${text}\n`),
        ),
        (text) => {
          for (const parse of [
            () => verifyNote(text, parseVkey(vkey)),
            () => parseVkey(text),
            () => verifyAcknowledgement(text, vkey),
          ]) {
            try {
              parse();
            } catch (error) {
              expect(error).toBeInstanceOf(TrustWardenError);
            }
          }
        },
      ),
    );
  });
});

describe("checkpoints", () => {
  it("are three lines under a signature by the key of their origin (16)", () => {
    const note = issueCheckpoint(head, signer);
    const text = `${origin}\n20852163\n${encodeBase64(head.root)}\n`;
    expect(note.startsWith(`${text}\n\u2014 `)).toBe(true);
    const verified = verifyCheckpoint(note, vkey);
    expect(verified.size).toBe(head.size);
    expect(verified.origin).toBe(origin);
    expect(encodeBase64(verified.root)).toBe(encodeBase64(head.root));
    const signature = Buffer.from(note.split(" ").at(-1) ?? "", "base64").subarray(4);
    const raw = Buffer.from(rawEd25519Key(signer.publicKey)).toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw }, format: "jwk" });
    expect(verify(null, Buffer.from(text), key, signature)).toBe(true);
  });

  it("are refused with leading zeros, more lines, fewer lines, another origin or a bad hash (16)", () => {
    const root = encodeBase64(EMPTY_ROOT);
    const texts = [
      `${origin}\n01\n${root}\n`,
      `${origin}\n-1\n${root}\n`,
      `${origin}\n1e3\n${root}\n`,
      `${origin}\n9007199254740992\n${root}\n`,
      `${origin}\n1\n${root}\nextension\n`,
      `${origin}\n1\n`,
      `${origin}\n1\n${root.slice(4)}\n`,
      `${origin}\n1\n${root}=\n`,
    ];
    for (const text of texts) {
      expect(() =>
        verifyCheckpoint(issueNote(text, createNoteSigner({ name: origin, signer })), vkey),
      ).toThrow(malformed);
    }
    const other = issueNote(`other.test/log\n1\n${root}\n`, createNoteSigner({ name: origin, signer }));
    expect(() => verifyCheckpoint(other, vkey)).toThrow(untrusted);
  });

  it("have an origin without spaces, plus, scheme or trailing slash (19)", () => {
    requireOrigin("ledger.acme.test/2026q4");
    for (const bad of ["", "a b", "a+b", "https://a.test", "a.test/", "a\u00a0b", "a\nb", "a\u2003b"]) {
      expect(() => requireOrigin(bad)).toThrow(malformed);
      expect(() => issueCheckpoint({ ...head, origin: bad }, signer)).toThrow(malformed);
    }
  });

  it("are refused after any change of one character", () => {
    const note = issueCheckpoint(head, signer);
    for (let at = 0; at < note.length; at += 1) {
      const changed = note.slice(0, at) + (note[at] === "A" ? "B" : "A") + note.slice(at + 1);
      expect(() => verifyCheckpoint(changed, vkey)).toThrow(TrustWardenError);
    }
  });
});

describe("acknowledgements", () => {
  const promise = { origin, index: 7, leafHash: leafHash(Uint8Array.of(9)), acknowledgedAt: 1_795_000_000 };

  it("verify to what the log promised", () => {
    const verified = verifyAcknowledgement(issueAcknowledgement(promise, signer), vkey);
    expect(verified).toMatchObject({ origin, index: 7, acknowledgedAt: 1_795_000_000 });
    expect(encodeBase64(verified.leafHash)).toBe(encodeBase64(promise.leafHash));
  });

  it("cannot be read as checkpoints, nor checkpoints as them", () => {
    const invalid = expect.objectContaining({ code: "receipt_invalid" });
    expect(() => verifyCheckpoint(issueAcknowledgement(promise, signer), vkey)).toThrow(TrustWardenError);
    expect(() => verifyAcknowledgement(issueCheckpoint(head, signer), vkey)).toThrow(invalid);
    expect(() => verifyAcknowledgement(issueAcknowledgement(promise, createTestLogSigner(9)), vkey)).toThrow(
      invalid,
    );
    expect(() =>
      verifyAcknowledgement(issueAcknowledgement({ ...promise, index: -1 }, signer), vkey),
    ).toThrow(invalid);
  });
});
