/** How the periods are called in sentences. */

import type { PeriodName } from "@/api/queries.ts";

export const PERIOD_WORDS: Record<PeriodName, string> = { "1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days" };
