/** What each permission lets a person do, in words. */

import type { Permission } from "@/app/context.ts";

export const PERMISSIONS: Record<Permission, string> = {
  "stats:read": "see statistics and the health of the feeds",
  "transactions:read": "read transactions and breaks",
  "accounts:read": "see account numbers in full, not masked",
  "raw:read": "read raw events and the bytes that are the evidence",
  "breaks:work": "work on breaks, and approve another's resolution",
  "dead-letters:read": "list and read dead letters",
  "dead-letters:replay": "replay and discard dead letters",
  export: "export lists",
  "audit:read": "read, verify and export the audit trail",
  "reports:read": "read reports",
  "admin:read": "see users, sessions of others, rules and system health",
  "admin:write": "change users, sessions of others and rules, and pause a feed",
  profile: "see the own profile, and end own sessions",
};
