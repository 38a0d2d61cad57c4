/** Lists that come in pages. */
import { encodeUtf8 } from "@trustwarden/core/bytes.ts";
import { expect, test } from "vitest";
import { z } from "zod";
import { createClient, readPages } from "./client.ts";

const PAGES = [
  { rows: [1, 2], next_cursor: "b c" },
  { rows: [3], next_cursor: "d" },
  { rows: [4], next_cursor: null },
];
const schema = z.object({ rows: z.array(z.number()), next_cursor: z.string().nullable() });

function openList() {
  const asked: string[] = [];
  const client = createClient({
    send: async ({ target }) => {
      asked.push(target);
      return { status: 200, body: encodeUtf8(JSON.stringify(PAGES[asked.length - 1])) };
    },
    close: () => undefined,
  });
  return { asked, pages: readPages(client, { path: "/v1/rows", query: { limit: 2 }, schema }) };
}

test("a list is read to its end, each page from where the one before ended", async () => {
  const { asked, pages } = openList();
  expect((await Array.fromAsync(pages)).flatMap(({ rows }) => rows)).toEqual([1, 2, 3, 4]);
  expect(asked).toEqual(["/v1/rows?limit=2", "/v1/rows?limit=2&cursor=b+c", "/v1/rows?limit=2&cursor=d"]);
});

test("whoever has enough asks for no further page", async () => {
  const { asked, pages } = openList();
  for await (const { rows } of pages) if (rows.includes(3)) break;
  expect(asked).toHaveLength(2);
});
