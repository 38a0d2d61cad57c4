/** What an operator reads of a failure in the log. */
import { TrustWardenError } from "@trustwarden/core/error.ts";
import { expect, it } from "vitest";
import { logFailure } from "./errors.ts";

/** The facts that are logged, whatever the level. */
function logged(error: TrustWardenError): unknown {
  const facts: unknown[] = [];
  const take = (given: unknown) => void facts.push(given);
  logFailure({ info: take, warn: take, error: take }, "POST /v1/x", error);
  return facts[0];
}

it("a key of the authority that cannot be used is logged with the reason, without what lies beneath", () => {
  const cause = new Error("a library's words");
  const details = { reason: "too many requests", refusal: "ThrottlingException" };
  const error = new TrustWardenError("signer_unavailable", details, { cause });
  const facts = { route: "POST /v1/x", code: "signer_unavailable", status: 503, reason: "too many requests" };
  expect(logged(error)).toEqual(facts);
});

it("any other failure is logged by its code alone", () => {
  const error = new TrustWardenError("store_unavailable", { reason: "disk" });
  expect(logged(error)).toEqual({ route: "POST /v1/x", code: "store_unavailable", status: 503 });
});
