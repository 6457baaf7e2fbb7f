/** The query of an address: what is given several times stands there several times, what is undefined does not. */
export function queryString(given: Record<string, string | string[] | undefined>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    for (const each of [value ?? []].flat()) query.append(name, each);
  }
  return query.toString();
}
