/** The second admin of what nobody does alone, at a page of its own. */
import type { Page } from "playwright-core";
import { press } from "./keyboard.ts";
import { go, heading } from "./step.ts";

/** The second admin finds it by its reason, and confirms it. */
export async function confirm(
  other: Page,
  { reason, title }: { readonly reason: string; readonly title: string },
): Promise<void> {
  await go(other, "Confirmations");
  await press(other.getByRole("button", { name: "Look again" }));
  await press(other.getByRole("row").filter({ hasText: reason }).getByRole("link", { name: title }));
  await heading(other, title).waitFor();
  await press(other.getByRole("button", { name: "Confirm with your passkey" }));
  await other.getByText("Whoever asked does it now").waitFor();
}
