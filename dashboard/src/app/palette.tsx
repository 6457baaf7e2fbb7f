/** Ctrl K: a transaction by its id, a page by its name, a command. */

import { useNavigate } from "@tanstack/react-router";
import { Command } from "cmdk";
import { ArrowRight, Clock4, LogOut, MoonStar, Search } from "lucide-react";
import { useState, type ReactNode } from "react";
import { Modal } from "@/components/ui.tsx";
import { prefer, usePreferences, useShownTheme } from "@/lib/preferences.ts";
import { useApp } from "./context.ts";
import { PAGES } from "./navigation.ts";

const ITEM = "flex cursor-default items-center gap-3 rounded-md px-3 py-2 text-sm aria-selected:bg-hover";
const GROUP = "[&_[cmdk-group-heading]]:px-3 [&_[cmdk-group-heading]]:py-1.5 [&_[cmdk-group-heading]]:text-xs [&_[cmdk-group-heading]]:text-ink-3";

export function CommandPalette({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  return (
    <Modal
      isOpen={isOpen}
      onClose={onClose}
      closedby="any"
      aria-label="Find"
      className="mx-auto mt-[12vh] w-[min(38rem,calc(100vw-2rem))] overflow-hidden rounded-xl border bg-raised shadow-lift"
    >
      <Commands onClose={onClose} />
    </Modal>
  );
}

function Commands({ onClose }: { onClose: () => void }) {
  const { me, session } = useApp();
  const [text, setText] = useState("");
  const navigate = useNavigate();
  const { zone } = usePreferences();
  const theme = useShownTheme();
  const wanted = text.trim();
  const item = (name: string, icon: ReactNode, action: () => unknown) => (
    <Command.Item
      key={name}
      value={name}
      className={ITEM}
      onSelect={() => {
        onClose();
        action();
      }}
    >
      {icon}
      {name}
    </Command.Item>
  );
  return (
    <Command label="Find" loop>
      <div className="flex items-center gap-3 border-b border-line px-4">
        <Search aria-hidden className="size-4 text-ink-3" />
        <Command.Input
          value={text}
          onValueChange={setText}
          placeholder="Transaction id, event id, reference, page…"
          className="h-13 w-full bg-transparent text-base outline-none placeholder:text-ink-3"
        />
      </div>
      <Command.List className="max-h-96 overflow-y-auto p-2">
        <Command.Empty className="px-3 py-6 text-center text-sm text-ink-2">Nothing is called that.</Command.Empty>
        {wanted && me.permissions.includes("transactions:read") && (
          <Command.Group heading="Transactions" className={GROUP} forceMount>
            <Command.Item
              forceMount
              value={`open ${wanted}`}
              className={ITEM}
              onSelect={() => {
                onClose();
                void navigate({ to: "/transactions/$txnId", params: { txnId: wanted } });
              }}
            >
              <ArrowRight aria-hidden className="size-4 text-ink-3" />
              Open transaction <span className="truncate font-mono">{wanted}</span>
            </Command.Item>
            <Command.Item
              forceMount
              value={`search ${wanted}`}
              className={ITEM}
              onSelect={() => {
                onClose();
                void navigate({ to: "/transactions", search: { text: wanted } });
              }}
            >
              <Search aria-hidden className="size-4 text-ink-3" />
              Search transactions for <span className="truncate font-mono">{wanted}</span>
            </Command.Item>
          </Command.Group>
        )}
        <Command.Group heading="Pages" className={GROUP}>
          {PAGES.filter((page) => me.permissions.includes(page.needs)).map(({ to, label, icon: Icon }) =>
            item(label, <Icon aria-hidden className="size-4 text-ink-3" />, () => void navigate({ to })),
          )}
        </Command.Group>
        <Command.Group heading="Commands" className={GROUP}>
          {item(theme === "dark" ? "Use the light theme" : "Use the dark theme", <MoonStar aria-hidden className="size-4 text-ink-3" />, () =>
            prefer({ theme: theme === "dark" ? "light" : "dark" }),
          )}
          {item(zone === "utc" ? "Show local times" : "Show times in UTC", <Clock4 aria-hidden className="size-4 text-ink-3" />, () =>
            prefer({ zone: zone === "utc" ? "local" : "utc" }),
          )}
          {item("Sign out", <LogOut aria-hidden className="size-4 text-ink-3" />, () => void session.logout())}
        </Command.Group>
      </Command.List>
    </Command>
  );
}
