/** How this browser shows things, and who is signed in. */

import { Check, Minus } from "lucide-react";
import { useSyncExternalStore, type ReactNode } from "react";
import { useApp, type Permission } from "@/app/context.ts";
import { Keys } from "@/app/keyboard.tsx";
import { Badge, Card, Choice, PageHeader, classes } from "@/components/ui.tsx";
import { Instant } from "@/components/values.tsx";
import { useNow } from "@/lib/clock.ts";
import { prefer, usePreferences, useShownTheme } from "@/lib/preferences.ts";
import { duration, instant } from "@/lib/time.ts";
import { PERMISSIONS } from "./permissions.ts";

export function Settings() {
  const { keys } = usePreferences();
  return (
    <>
      <PageHeader title="Settings" about="How this browser shows things, and who you are here." />
      <div className="grid items-start gap-4 lg:grid-cols-2">
        <div className="flex flex-col gap-4">
          <Looks />
          <Card title="Keyboard shortcuts" aside="on every page: ?" className="max-sm:hidden">
            <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 pb-3 text-sm">
              <p className="text-ink-2">Turned off, only Ctrl K and the keys within lists remain.</p>
              <Choice
                label="Keyboard shortcuts"
                value={keys}
                options={[
                  { value: "on", label: "On" },
                  { value: "off", label: "Off" },
                ]}
                onChange={(value) => prefer({ keys: value })}
              />
            </div>
            <Keys />
          </Card>
        </div>
        <Person />
      </div>
    </>
  );
}

function Looks() {
  const { theme, zone, density } = usePreferences();
  const shown = useShownTheme();
  const now = new Date(useNow()).toISOString();
  return (
    <Card title="How it looks" aside="kept in this browser" bare>
      <Row title="Theme" about={theme === "system" ? `As this computer has it: ${shown} now` : "Whatever this computer has"}>
        <Choice
          label="Theme"
          value={theme}
          options={[
            { value: "system", label: "System" },
            { value: "light", label: "Light" },
            { value: "dark", label: "Dark" },
          ]}
          onChange={(value) => prefer({ theme: value })}
        />
      </Row>
      <Row title="Times" about={<span className="figures">Now it is {instant(now, zone)}</span>}>
        <Choice
          label="Times"
          value={zone}
          options={[
            { value: "utc", label: "UTC" },
            { value: "local", label: "Local" },
          ]}
          onChange={(value) => prefer({ zone: value })}
        />
      </Row>
      <Row title="Rows of lists" about={density === "compact" ? "More rows at a look" : "More room between rows"}>
        <Choice
          label="Rows of lists"
          value={density}
          options={[
            { value: "comfortable", label: "Comfortable" },
            { value: "compact", label: "Compact" },
          ]}
          onChange={(value) => prefer({ density: value })}
        />
      </Row>
    </Card>
  );
}

function Person() {
  const { me, session } = useApp();
  const now = useNow();
  const endsAt = useSyncExternalStore(session.subscribe, () => session.endsAt);
  return (
    <Card title="Who you are" bare>
      <Row title={me.username} about={<span className="font-mono text-xs break-all">Session {me.session}</span>}>
        <div className="flex flex-wrap gap-1">
          {me.roles.map(({ name, level }) => (
            <Badge key={name} tone="info">
              {name}, level {level}
            </Badge>
          ))}
        </div>
      </Row>
      {endsAt !== undefined && (
        <Row title="Your session ends" about="Each key and click prolongs it">
          <span className="figures text-right text-sm">
            <Instant at={new Date(endsAt).toISOString()} />
            <div className="text-xs text-ink-2">in {duration((endsAt - now) / 1000)}</div>
          </span>
        </Row>
      )}
      <div className="border-t border-line px-4 py-3">
        <h3 className="pb-2 text-sm font-medium">You may</h3>
        <ul className="flex flex-col gap-1.5 text-sm">
          {(Object.entries(PERMISSIONS) as [Permission, string][]).map(([permission, words]) => {
            const may = me.permissions.includes(permission);
            const Icon = may ? Check : Minus;
            return (
              <li key={permission} className={classes("flex items-start gap-2", !may && "text-ink-3")}>
                <Icon aria-hidden className={classes("mt-0.5 size-4 shrink-0", may && "text-good")} />
                <span>
                  {!may && <span className="sr-only">Not: </span>}
                  {words}
                </span>
              </li>
            );
          })}
        </ul>
      </div>
    </Card>
  );
}

function Row({ title, about, children }: { title: ReactNode; about: ReactNode; children: ReactNode }) {
  return (
    <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2 border-t border-line px-4 py-3 first:border-t-0">
      <div className="min-w-0">
        <p className="text-sm font-medium">{title}</p>
        <p className="text-xs text-ink-2">{about}</p>
      </div>
      {children}
    </div>
  );
}
