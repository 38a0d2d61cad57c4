/** Text of others in pages and tables: shown as it is, and never read as markup. */
import { printable } from "../output.ts";

const HTML: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** For content and quoted attributes. */
export function escapeHtml(text: string): string {
  return printable(text).replace(/[&<>"']/g, (sign) => HTML[sign] ?? "");
}

/** For a paragraph or a cell of a table: signs of Markdown and of HTML lose their meaning. */
export function escapeMarkdown(text: string): string {
  return printable(text)
    .replace(/[&<>]/g, (sign) => HTML[sign] ?? "")
    .replace(/[\\`*_[\]|~#]/g, (sign) => `\\${sign}`);
}
