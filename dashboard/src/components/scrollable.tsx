import type { ReactNode } from "react";
import { classes } from "./ui.tsx";

/** What may be wider or higher than its place: it scrolls by itself, by keyboard too, and the page does not. */
export function Scrollable({ label, children, className }: { label: string; children: ReactNode; className?: string }) {
  return (
    // relative: words for screen readers in it would otherwise make the page wider
    <div role="region" aria-label={label} tabIndex={0} className={classes("relative overflow-auto focus-visible:-outline-offset-2", className)}>
      {children}
    </div>
  );
}
