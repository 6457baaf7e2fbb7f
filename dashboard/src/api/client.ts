/** The REST API, typed by docs/openapi.json. Every failure is an ApiError with a sentence for people. */

import createClient, { type Middleware } from "openapi-fetch";
import type { Session } from "@/auth/keycloak.ts";
import type { components, paths } from "./schema.d.ts";

export type Schema = components["schemas"];

interface Problem {
  type?: string;
  detail?: string;
  request_id?: string;
  errors?: { name: string; message: string }[];
}

export class ApiError extends Error {
  constructor(
    /** 0 where nothing answered. */
    readonly status: number,
    message: string,
    readonly requestId?: string,
    /** Seconds after which it is worth trying again. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** A dashboard's own clicks can meet the limiter; it says how long to wait, and that is short. */
const WAITS_MAX = 2;
const WAIT_SECONDS_MAX = 11;
const TIMEOUT_MS = 20_000;

async function failure(answer: Response): Promise<ApiError> {
  const problem = (await answer.json().catch(() => ({}))) as Problem;
  const faults = problem.errors?.map((fault) => `${fault.name}: ${fault.message}`) ?? [];
  const detail = [problem.detail ?? `The server answered ${answer.status}.`, ...faults].join(" ");
  return new ApiError(answer.status, detail, problem.request_id, Number(answer.headers.get("Retry-After")) || undefined);
}

/**
 * Sends a request with the session's token: again with a new one after a 401, again after a wait that the limiter asks for.
 * `isLong`: a file, which may take as long as it comes.
 */
export async function send(session: Session, request: Request, { isLong = false } = {}): Promise<Response> {
  for (let waits = 0, isRefreshed = false; ; ) {
    const token = await session.token();
    if (!token) throw new ApiError(401, "Your session has ended.");
    const attempt = new Request(request.clone(), {
      signal: isLong ? request.signal : AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    attempt.headers.set("Authorization", `Bearer ${token}`);
    const answer = await fetch(attempt).catch((error: unknown) => {
      if (request.signal.aborted) throw error;
      throw new ApiError(0, "The server does not answer.");
    });
    if (answer.ok || answer.status === 304) return answer;
    const error = await failure(answer);
    if (answer.status === 429 && waits < WAITS_MAX) {
      waits += 1;
      await new Promise((resume) => setTimeout(resume, Math.min(error.retryAfter ?? 1, WAIT_SECONDS_MAX) * 1000));
      request.signal.throwIfAborted();
    } else if (answer.status === 401 && !isRefreshed) {
      isRefreshed = true;
      // -1: whatever the clock of this machine says of the token
      if (!(await session.refresh(-1))) throw error;
    } else {
      if (answer.status === 401) session.end("expired");
      throw error;
    }
  }
}

export type Api = ReturnType<typeof connect>;

/** The client for a session: `dataOf(api.GET("/transactions/{txn_id}", …))`. */
export function connect(session: Session) {
  const client = createClient<paths>({
    baseUrl: location.origin,
    fetch: (request) => send(session, request),
    querySerializer: { array: { style: "form", explode: true } },
  });
  const onlySuccess: Middleware = {
    async onResponse({ response }) {
      if (!response.ok) throw await failure(response);
    },
  };
  client.use(onlySuccess);
  return client;
}

/** What a call answers. Failures have thrown before; an answer without a body is none of ours. */
export async function dataOf<Data>(answer: Promise<{ data?: Data }>): Promise<Data> {
  const { data } = await answer;
  if (data === undefined) throw new ApiError(0, "The server answered nothing.");
  return data;
}
