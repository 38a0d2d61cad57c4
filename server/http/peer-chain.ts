/**
 * The certificate chain that a TLS peer presented, as plain bytes, read once per socket.
 *
 * Node answers whether it likes the chain, but it accepts a leaf with two URI names; so our own code verifies, after
 * the handshake, and a refusal is a recorded 401 instead of a reset. `getPeerCertificate(true)` is never used: it
 * appends our own root, which would let a peer lean on a certificate it did not send.
 */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { TrustWardenError } from "@trustwarden/core/error.ts";

/** Leaf, intermediates, and one to spare; a longer chain is an attempt to make us work. */
const MAX_CHAIN = 4;

const chains = new WeakMap<Socket, readonly Uint8Array[]>();

/**
 * DER certificates of the peer, leaf first.
 *
 * @throws TrustWardenError `no_svid` on a plain or local socket, without a certificate, or on a resumed session;
 *   `svid_malformed` for a chain that is too long.
 */
export function peerChainOf(socket: Socket): readonly Uint8Array[] {
  const known = chains.get(socket);
  if (known !== undefined) return known;
  const chain = readChain(socket);
  chains.set(socket, chain);
  return chain;
}

function readChain(socket: Socket): readonly Uint8Array[] {
  if (!(socket instanceof TLSSocket)) throw new TrustWardenError("no_svid", { reason: "no TLS" });
  // A resumed session carries the chain of an earlier handshake, perhaps expired since (D9).
  if (socket.isSessionReused()) throw new TrustWardenError("no_svid", { reason: "resumed session" });
  const chain: Uint8Array[] = [];
  let certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  while (certificate !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw);
    const issuer: X509Certificate | undefined = certificate.issuerCertificate;
    certificate = issuer === certificate ? undefined : issuer;
  }
  if (chain.length === 0) throw new TrustWardenError("no_svid", { reason: "no certificate" });
  if (certificate !== undefined) throw new TrustWardenError("svid_malformed", { reason: "chain too long" });
  return chain;
}
