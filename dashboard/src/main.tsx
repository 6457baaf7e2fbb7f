import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { Tooltip } from "radix-ui";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import "./styles/main.css";
import { ApiError, connect, dataOf } from "./api/client.ts";
import { AppContext, type App } from "./app/context.ts";
import { createAppRouter } from "./app/router.tsx";
import { Session } from "./auth/keycloak.ts";
import { Failed } from "./components/states.tsx";
import { startPresence } from "./auth/presence.ts";
import { mendLanguage } from "./lib/language.ts";
import { startPreferences } from "./lib/preferences.ts";
import { LiveSocket } from "./live/socket.ts";

const RETRIES = 2;

mendLanguage();
startPreferences();
startPresence();
const place = document.getElementById("root");
if (!place) throw new Error("index.html has no place for the application");
const root = createRoot(place);

async function start(): Promise<App> {
  const session = await Session.start();
  const api = connect(session);
  const me = await dataOf(api.GET("/me"));
  const live = new LiveSocket({
    async address() {
      const { ticket } = await dataOf(api.POST("/ws/ticket"));
      return `${location.origin.replace(/^http/, "ws")}/ws?ticket=${encodeURIComponent(ticket)}`;
    },
    token: () => session.token(),
    // a new ticket needs a token; where there is none, the session says so
    onExpired: () => void session.refresh(-1),
  });
  session.subscribe(() => {
    if (session.ended) live.stop();
  });
  live.start();
  return { session, api, me, live };
}

try {
  const app = await start();
  const queries = new QueryClient({
    defaultOptions: {
      queries: {
        // what a person may not or what is not there does not come by asking again
        retry: (failures, error) => failures < RETRIES && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
        staleTime: 5_000,
        refetchOnWindowFocus: true,
        // a failure is told; "offline" would wait without a word
        networkMode: "always",
      },
      // nothing is done later by itself, when nobody looks any more
      mutations: { networkMode: "always" },
    },
  });
  root.render(
    <StrictMode>
      <AppContext value={app}>
        <QueryClientProvider client={queries}>
          <Tooltip.Provider delayDuration={350}>
            <RouterProvider router={createAppRouter(app, queries)} />
          </Tooltip.Provider>
        </QueryClientProvider>
      </AppContext>
    </StrictMode>,
  );
} catch (error) {
  root.render(<Failed error={error instanceof Error ? error : new Error(String(error))} onRetry={() => location.reload()} />);
}
