/** The frame around every page: navigation, the state of the live link, search, and who is logged in. */

import { Link, Outlet } from "@tanstack/react-router";
import { Keyboard, LogOut, Menu as MenuIcon, Search, UserRound, X } from "lucide-react";
import { useState } from "react";
import { Announcer } from "@/components/announcer.tsx";
import { Badge, Button, IconButton, Kbd, Menu, MenuItem, MenuLabel, MenuLine, Modal, classes } from "@/components/ui.tsx";
import { useNow } from "@/lib/clock.ts";
import { usePreferences } from "@/lib/preferences.ts";
import { clock, zoneName } from "@/lib/time.ts";
import { useApp, useLinkState, useLiveStatus } from "./context.ts";
import { KeyboardHelp, useGlobalKeys } from "./keyboard.tsx";
import { PAGES } from "./navigation.ts";
import { PageTitle } from "./page-title.tsx";
import { CommandPalette } from "./palette.tsx";
import { SessionDialogs } from "./session-dialogs.tsx";

export function Shell() {
  const [isPaletteOpen, setPaletteOpen] = useState(false);
  const [isHelpOpen, setHelpOpen] = useState(false);
  useGlobalKeys({ onPalette: () => setPaletteOpen(true), onHelp: () => setHelpOpen(true) });
  return (
    <div className="flex min-h-dvh">
      <a href="#main" className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded-md focus:bg-accent focus:px-3 focus:py-2 focus:text-accent-ink">
        Skip to the content
      </a>
      <aside className="sticky top-0 hidden h-dvh w-52 shrink-0 flex-col border-r border-line bg-surface md:flex">
        <Brand />
        <Navigation />
      </aside>
      <div className="flex min-w-0 flex-1 flex-col">
        <header className="sticky top-0 z-30 flex h-13 items-center gap-2 border-b border-line bg-surface px-3 md:px-6">
          <MobileNavigation />
          <Button look="plain" icon={Search} className="!justify-start text-ink-2 sm:w-72" onClick={() => setPaletteOpen(true)}>
            <span className="hidden sm:inline">Find a transaction or page</span>
            <span className="sm:hidden">Find</span>
            <span className="ml-auto hidden sm:inline">
              <Kbd>Ctrl K</Kbd>
            </span>
          </Button>
          <div className="ml-auto flex items-center gap-1 sm:gap-3">
            <LinkBadge />
            <WallClock />
            <IconButton icon={Keyboard} label="Keyboard shortcuts" shortcut="?" className="max-sm:hidden" onClick={() => setHelpOpen(true)} />
            <UserMenu />
          </div>
        </header>
        <main id="main" tabIndex={-1} className="mx-auto flex w-full max-w-[110rem] min-w-0 flex-1 flex-col px-3 py-5 outline-none md:px-6">
          <Outlet />
        </main>
      </div>
      <PageTitle />
      <CommandPalette isOpen={isPaletteOpen} onClose={() => setPaletteOpen(false)} />
      <KeyboardHelp isOpen={isHelpOpen} onClose={() => setHelpOpen(false)} />
      <SessionDialogs />
      <Announcer />
    </div>
  );
}

function Brand() {
  return (
    <div className="flex h-13 items-center gap-2.5 border-b border-line px-4">
      <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" className="size-6" />
      <span className="font-semibold tracking-tight">recon-stream</span>
    </div>
  );
}

function Navigation({ onNavigate }: { onNavigate?: () => void }) {
  const { me, session } = useApp();
  return (
    <>
      <nav aria-label="Pages" className="flex flex-1 flex-col gap-0.5 overflow-y-auto p-2">
        {PAGES.filter((page) => me.permissions.includes(page.needs)).map(({ to, label, icon: Icon }) => (
          <Link
            key={to}
            to={to}
            onClick={onNavigate}
            activeOptions={{ exact: to === "/", includeSearch: false }}
            className="flex items-center gap-3 rounded-md px-3 py-2 text-sm text-ink-2 hover:bg-hover hover:text-ink aria-[current=page]:bg-chosen aria-[current=page]:font-medium aria-[current=page]:text-ink"
          >
            <Icon aria-hidden className="size-4.5" strokeWidth={1.75} />
            {label}
          </Link>
        ))}
      </nav>
      <p className="border-t border-line px-4 py-3 text-xs text-ink-3">Version {session.config.version}</p>
    </>
  );
}

function MobileNavigation() {
  const [isOpen, setOpen] = useState(false);
  const close = () => setOpen(false);
  return (
    <div className="md:hidden">
      <IconButton icon={MenuIcon} label="Pages" onClick={() => setOpen(true)} />
      <Modal isOpen={isOpen} onClose={close} closedby="any" aria-label="Pages" className="m-0 h-dvh max-h-none w-64 border-r bg-surface">
        <div className="flex h-full flex-col">
          <div className="flex items-center justify-between border-b border-line pr-2">
            <Brand />
            <IconButton icon={X} label="Close" onClick={close} />
          </div>
          <Navigation onNavigate={close} />
        </div>
      </Modal>
    </div>
  );
}

const LINK = {
  off: { text: "Off", dot: "bg-quiet" },
  connecting: { text: "Connecting", dot: "bg-warn" },
  live: { text: "Live", dot: "bg-good" },
  reconnecting: { text: "Reconnecting", dot: "bg-warn animate-pulse" },
};

/** Whether what is seen is what is: in a word, and why not where it is not. */
function LinkBadge() {
  const state = useLinkState();
  const status = useLiveStatus();
  const isDelayed = state === "live" && status?.live === false;
  const { text, dot } = isDelayed ? { text: "Feed delayed", dot: "bg-warn" } : LINK[state];
  return (
    <span role="status" title={isDelayed ? (status.reason ?? undefined) : undefined} className="flex items-center gap-1.5 text-xs font-medium text-ink-2">
      <span aria-hidden className={classes("size-2 rounded-full", dot)} />
      <span className="sr-only">Live updates: </span>
      {text}
    </span>
  );
}

function WallClock() {
  const now = useNow();
  const { zone } = usePreferences();
  const at = new Date(now);
  return (
    <time dateTime={at.toISOString()} className="figures hidden text-xs text-ink-2 lg:inline">
      {clock(at.toISOString(), zone)} {zoneName(at, zone)}
    </time>
  );
}

function UserMenu() {
  const { me, session } = useApp();
  return (
    <Menu
      trigger={
        <Button look="quiet" icon={UserRound} aria-label={`Account of ${me.username}`}>
          <span className="hidden sm:inline">{me.username}</span>
        </Button>
      }
    >
      <MenuLabel>Signed in as {me.username}</MenuLabel>
      <div className="flex flex-wrap gap-1 px-2.5 pb-2">
        {me.roles.map((role) => (
          <Badge key={role.name} tone="info">
            {role.name}, level {role.level}
          </Badge>
        ))}
      </div>
      <MenuLine />
      <MenuItem icon={LogOut} onSelect={() => void session.logout()}>
        Sign out
      </MenuItem>
    </Menu>
  );
}
