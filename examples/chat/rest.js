/** The REST calls of the page (docs/contract.md, section 2). */

export class Rest {
  constructor(gateway, token) {
    [this.gateway, this.token] = [gateway, token];
  }

  /** Call the gateway; throws an error with `status` and `code` if it refuses, without them if it cannot be reached. */
  async call(method, path, { query = {}, body } = {}) {
    const url = new URL(`/api/v1/${path}`, this.gateway);
    url.search = new URLSearchParams(query);
    const headers = { Authorization: `Bearer ${await this.token()}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const response = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const answer = await response.json();
    if (response.ok) return answer;
    throw Object.assign(new Error(answer.detail ?? answer.title), { status: response.status, code: answer.code });
  }

  get = (path, query) => this.call("GET", path, { query });
  post = (path, body) => this.call("POST", path, { body });

  /** All pages of a list. */
  async *pages(path, query) {
    let cursor;
    do {
      const page = await this.get(path, { ...query, ...(cursor ? { cursor } : {}) });
      yield page;
      cursor = page.cursor;
    } while (cursor);
  }
}

/** Call until it succeeds, or the server says that it never will. The caller repeats with the same `client_msg_id`. */
export async function untilDone(call) {
  for (let wait = 250; ; wait = Math.min(2 * wait, 5_000)) {
    try {
      return await call();
    } catch (error) {
      if (error.status !== undefined && error.status < 500 && error.status !== 429) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait * (0.5 + Math.random() / 2)));
    }
  }
}
