/** What a stranger's server says in an error is told as the standard's word for it, or not at all. */
import { ResponseBodyError } from "oauth4webapi";
import { describe, expect, it } from "vitest";
import { explain } from "./web.ts";

function reasonOf(error: string): unknown {
  const response = new Response(null, { status: 400 });
  const thrown = new ResponseBodyError("refused", { cause: { error }, response });
  return explain(thrown, "the login was refused").details.reason;
}

describe("an error of an authorization server", () => {
  it("is told by its word", () => {
    expect(reasonOf("invalid_grant")).toBe("the login was refused: invalid_grant");
  });

  it.each(["Call +1 555 0100 to log in again", "x".repeat(100_000), "\u001b[2J", ""])(
    "is not told in a sentence of its own: %#",
    (error) => expect(reasonOf(error)).toBe("the login was refused"),
  );
});
