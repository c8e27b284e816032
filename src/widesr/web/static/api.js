// Talks with the server: pictures there, jobs and results back. All that goes wrong is a Problem.

const TOKEN = "widesr-token";
let askToken = async () => null;

/** Say how a token is asked for, where the server wants one. */
export function onUnauthorized(ask) {
  askToken = ask;
}

/** What went wrong, in the server's words, or ours where it does not answer. */
export class Problem extends Error {
  constructor({ detail, code, status = 0, options: ways = [], retryAfter = 0 }) {
    super(detail);
    Object.assign(this, { code, status, ways, retryAfter });
  }
}

async function ask(path, options = {}) {
  for (;;) {
    const headers = new Headers(options.headers);
    const token = sessionStorage.getItem(TOKEN);
    if (token) headers.set("Authorization", `Bearer ${token}`);
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({ code: "no-answer", detail: "The server does not answer. Is it still running?" });
    }
    if (response.status === 401) {
      const given = await askToken();
      if (!given) throw await problemOf(response);
      sessionStorage.setItem(TOKEN, given);
      continue;
    }
    if (!response.ok) throw await problemOf(response);
    return response;
  }
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  try {
    return new Problem({ ...(await response.json()), retryAfter });
  } catch {
    return new Problem({ code: "no-answer", status: response.status, retryAfter,
                         detail: `The server answered ${response.status} ${response.statusText}.` });
  }
}

/** Say what the server offers. */
export async function info() {
  return (await ask("/v1/info")).json();
}

/** Send a picture; gives the job, as soon as the server has taken it. */
export async function send(file, options, { signal, name } = {}) {
  const query = new URLSearchParams({ ...options, name: name ?? file.name ?? "picture" });
  const headers = { "Content-Type": /^(image|video)\//.test(file.type) ? file.type : "application/octet-stream",
                    Prefer: "respond-async" };
  const response = await ask(`/v1/upscale?${query}`, { method: "POST", body: file, headers, signal });
  return response.json();
}

/** Follow a job to its end; `tell` gets it each time it changes. It goes on where a connection broke. */
export async function follow(job, tell, { signal } = {}) {
  let last = "0";
  let failures = 0;
  for (;;) {
    try {
      const response = await ask(job.events, { signal, headers: { "Last-Event-ID": last } });
      if (response.status !== 204) {
        for await (const event of eventsOf(response.body)) {
          last = event.id || last;
          failures = 0;
          job = JSON.parse(event.data);
          tell(job);
        }
      }
      if (["done", "failed", "cancelled"].includes(job.state)) return job;
      job = await (await ask(job.self, { signal })).json();
      if (["done", "failed", "cancelled"].includes(job.state)) return job;
    } catch (error) {
      if (error.name === "AbortError" || error.status === 404 || (failures += 1) > 20) throw error;
    }
    await pause(Math.min(500 * (failures + 1), 5000), signal);
  }
}

async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const parts = text.split("\n\n");
    text = parts.pop();
    for (const part of parts) {
      const fields = Object.fromEntries(part.split("\n").map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }));
      if (fields.data) yield fields;
    }
  }
}

/** Fetch the result of a job; gives {blob, name}. */
export async function result(job, { signal } = {}) {
  const response = await ask(job.result, { signal });
  const said = response.headers.get("Content-Disposition") ?? "";
  const name = decodeURIComponent(/filename\*=UTF-8''([^;]+)/.exec(said)?.[1] ?? "picture");
  return { blob: await response.blob(), name };
}

/** Stop a job, or let the server forget it; nobody waits for it. */
export function forget(job) {
  ask(job.self, { method: "DELETE", keepalive: true }).catch(() => {});
}

/** Wait. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    }, { once: true });
  });
}
