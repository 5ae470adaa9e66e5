/** Items of a list that the service answers page by page. */

const LARGEST_PAGE = 200;

interface PageOf<Item> {
  items: readonly Item[];
  nextPageToken: string;
}

/**
 * All items, or the first `limit` of them; pages are fetched as they are needed.
 *
 * @param fetch asks for a page of at most `pageSize` items, the first one with an empty token
 */
export async function* eachItem<Item>(
  fetch: (page: { pageSize: number; pageToken: string }) => Promise<PageOf<Item>>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<Item> {
  let left = limit;
  let pageToken = "";
  while (left > 0) {
    const page = await fetch({ pageSize: Math.min(left, LARGEST_PAGE), pageToken });
    yield* page.items.slice(0, left);
    left -= page.items.length;
    pageToken = page.nextPageToken;
    if (pageToken === "") return;
  }
}

export async function allItems<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const item of items) all.push(item);
  return all;
}
