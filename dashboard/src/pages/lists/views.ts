/** Views that a person has saved in this browser: a name for an address. */

import { useState } from "react";
import { store, stored } from "@/lib/preferences.ts";
import type { Search } from "./filters.ts";

export interface View {
  name: string;
  search: Search;
}

const VIEWS_MAX = 50;

/** The views of a list, the newest last, and how to change them. */
export function useViews(list: string): [readonly View[], (views: readonly View[]) => void] {
  const key = `recon.views.${list}`;
  const [views, setViews] = useState(() => stored<View[]>(key, []).filter((view) => typeof view.name === "string"));
  return [
    views,
    (next) => {
      const kept = next.slice(-VIEWS_MAX);
      store(key, kept);
      setViews([...kept]);
    },
  ];
}

/** Saving under a name that is taken replaces it. */
export function withView(views: readonly View[], view: View): View[] {
  return [...views.filter(({ name }) => name !== view.name), view];
}
