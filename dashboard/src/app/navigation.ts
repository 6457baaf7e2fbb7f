/** The pages: where they are, what they need, and how to get there by keyboard. Navigation, palette and guard read it here. */

import { Activity, Gauge, Inbox, ListChecks, Radio, ScrollText, Server, Settings, type LucideIcon } from "lucide-react";
import type { Permission } from "./context.ts";

export interface Page {
  to: "/" | "/exceptions" | "/transactions" | "/live" | "/dead-letters" | "/audit" | "/system" | "/settings";
  label: string;
  icon: LucideIcon;
  needs: Permission;
  /** After `g`. */
  letter: string;
}

export const PAGES: readonly Page[] = [
  { to: "/", label: "Overview", icon: Gauge, needs: "stats:read", letter: "o" },
  { to: "/exceptions", label: "Exceptions", icon: ListChecks, needs: "transactions:read", letter: "e" },
  { to: "/transactions", label: "Transactions", icon: Activity, needs: "transactions:read", letter: "t" },
  { to: "/live", label: "Live", icon: Radio, needs: "transactions:read", letter: "l" },
  { to: "/dead-letters", label: "Dead letters", icon: Inbox, needs: "dead-letters:read", letter: "d" },
  { to: "/audit", label: "Audit", icon: ScrollText, needs: "audit:read", letter: "a" },
  { to: "/system", label: "System", icon: Server, needs: "stats:read", letter: "s" },
  { to: "/settings", label: "Settings", icon: Settings, needs: "profile", letter: "," },
];
