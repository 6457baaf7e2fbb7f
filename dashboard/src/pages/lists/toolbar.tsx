/** What stands above a list: search, period, amounts, chips of all that holds, columns, views, export. */

import { Bookmark, Columns3, Download, Search as SearchIcon, SlidersHorizontal, X } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode, type SyntheticEvent } from "react";
import { useHotkeys } from "react-hotkeys-hook";
import { useApp, useMay } from "@/app/context.ts";
import { announce } from "@/components/announcer.tsx";
import { copy } from "@/components/copy.tsx";
import { Button, Dialog, Field, INPUT, Menu, MenuCheck, MenuItem, MenuLabel, MenuLine } from "@/components/ui.tsx";
import { download } from "@/lib/download.ts";
import { said, saidInstant } from "@/lib/form.ts";
import { prefer, usePreferences } from "@/lib/preferences.ts";
import { chips, queryOf, type Search } from "./filters.ts";
import { useViews, withView } from "./views.ts";

interface ToolbarProps {
  /** Path of the API and name of the saved views: "mismatches". */
  list: "mismatches" | "transactions";
  search: Search;
  onSearch: (search: Search) => void;
  columns: { id: string; label: string }[];
  hidden: Record<string, boolean>;
  onHide: (hidden: Record<string, boolean>) => void;
  /** The facets, for windows that have no room beside the list. */
  facets: ReactNode;
}

export function Toolbar({ list, search, onSearch, columns, hidden, onHide, facets }: ToolbarProps) {
  const [isFacetsOpen, setFacetsOpen] = useState(false);
  const [isMoreOpen, setMoreOpen] = useState(false);
  const mayExport = useMay("export");
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 pb-3">
        <TextSearch search={search} onSearch={onSearch} />
        <Period search={search} onSearch={onSearch} />
        <Button className="xl:hidden" onClick={() => setFacetsOpen(true)}>
          Facets
        </Button>
        <Button icon={SlidersHorizontal} onClick={() => setMoreOpen(true)}>
          More filters
        </Button>
        <div className="ml-auto flex flex-wrap items-center gap-2">
          <Views list={list} search={search} onSearch={onSearch} />
          <Columns columns={columns} hidden={hidden} onHide={onHide} />
          {mayExport && <Export list={list} search={search} />}
        </div>
      </div>
      <Chips search={search} onSearch={onSearch} />
      <Dialog title="Facets" isOpen={isFacetsOpen} onClose={() => setFacetsOpen(false)}>
        {facets}
      </Dialog>
      <MoreFilters
        isOpen={isMoreOpen}
        search={search}
        onClose={() => setMoreOpen(false)}
        onSearch={(next) => {
          setMoreOpen(false);
          onSearch(next);
        }}
      />
    </>
  );
}

type SearchProps = Pick<ToolbarProps, "search" | "onSearch">;

function TextSearch({ search, onSearch }: SearchProps) {
  const ref = useRef<HTMLInputElement>(null);
  useHotkeys("slash", () => ref.current?.select(), { preventDefault: true });
  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    onSearch({ ...search, text: said(new FormData(event.currentTarget), "text") });
  };
  return (
    <form role="search" onSubmit={submit} className="relative">
      <SearchIcon aria-hidden className="absolute top-2.5 left-3 size-4 text-ink-3" />
      <input
        key={search.text}
        ref={ref}
        type="search"
        name="text"
        aria-label="Search by transaction id, event id or reference"
        placeholder="Id or reference  ( / )"
        defaultValue={search.text}
        maxLength={512}
        className={`${INPUT} w-56 pl-9`}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
    </form>
  );
}

const PERIODS: [string, number][] = [
  ["Last hour", 3_600],
  ["Last 24 hours", 86_400],
  ["Last 7 days", 604_800],
];

function Period({ search, onSearch }: SearchProps) {
  const isOwn = Boolean(search.since ?? search.before);
  return (
    <select
      aria-label="Period"
      className={INPUT}
      value={isOwn ? "own" : ""}
      onChange={({ target }) => {
        const seconds = Number(target.value);
        // whole minutes: the same address a moment later is the same list
        const since = seconds ? new Date(Math.floor(Date.now() / 60_000) * 60_000 - seconds * 1000).toISOString() : undefined;
        onSearch({ ...search, since, before: undefined });
      }}
    >
      <option value="">Any time</option>
      {PERIODS.map(([label, seconds]) => (
        <option key={label} value={seconds}>
          {label}
        </option>
      ))}
      {isOwn && <option value="own">As in the chips below</option>}
    </select>
  );
}

function Chips({ search, onSearch }: SearchProps) {
  const { zone } = usePreferences();
  const shown = chips(search, zone);
  const clear = () => onSearch({ state: search.state });
  useHotkeys("alt+backspace", clear, { preventDefault: true, enabled: shown.length > 0 });
  if (!shown.length) return null;
  return (
    <ul aria-label="Filters that hold" className="flex flex-wrap items-center gap-1.5 pb-3">
      {shown.map((chip) => (
        <li key={chip.key}>
          <button
            type="button"
            aria-label={`Remove the filter ${chip.text}`}
            onClick={() => onSearch(chip.without)}
            className="figures flex h-7 max-w-80 items-center gap-1.5 rounded-full border border-accent/40 bg-accent-soft pr-2 pl-3 text-xs text-ink hover:brightness-95"
          >
            <span className="truncate">{chip.text}</span>
            <X aria-hidden className="size-3.5 shrink-0" />
          </button>
        </li>
      ))}
      <li>
        <Button look="quiet" className="!h-7 !text-xs" shortcut="Alt ⌫" onClick={clear}>
          Clear all
        </Button>
      </li>
    </ul>
  );
}

interface MoreFiltersProps extends SearchProps {
  isOpen: boolean;
  onClose: () => void;
}

function MoreFilters({ isOpen, search, onClose, onSearch }: MoreFiltersProps) {
  const mayAccounts = useMay("accounts:read");
  const [wrong, setWrong] = useState("");
  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const [amount_min, amount_max] = [said(form, "amount_min"), said(form, "amount_max")];
    const currency = said(form, "currency")?.toUpperCase();
    if ((amount_min ?? amount_max) && !currency) {
      setWrong("Amounts compare within a currency only: name one.");
      return;
    }
    setWrong("");
    const [since, before] = [saidInstant(form, "since"), saidInstant(form, "before")];
    onSearch({ ...search, amount_min, amount_max, currency, account: said(form, "account"), since, before });
  };
  const text = (name: "amount_min" | "amount_max" | "currency" | "account", more: { pattern?: string; title?: string; maxLength?: number } = {}) => (
    <input name={name} defaultValue={search[name]} className={`${INPUT} font-normal`} autoComplete="off" {...more} />
  );
  const decimal = { pattern: "-?[0-9]{1,19}(\\.[0-9]{1,4})?", title: "A number with a point: 1347.02" };
  return (
    <Dialog title="More filters" isOpen={isOpen} onClose={onClose}>
      <form onSubmit={submit} className="grid gap-4 sm:grid-cols-2">
        <Field label="Amount from">{text("amount_min", decimal)}</Field>
        <Field label="Amount to">{text("amount_max", decimal)}</Field>
        <Field label="Currency">{text("currency", { pattern: "[A-Za-z]{3}", title: "Three letters: EUR", maxLength: 3 })}</Field>
        {mayAccounts && <Field label="Account number">{text("account", { maxLength: 512 })}</Field>}
        <Field label="From (UTC)">
          <input type="datetime-local" name="since" defaultValue={search.since?.slice(0, 16)} className={`${INPUT} font-normal`} />
        </Field>
        <Field label="Before (UTC)">
          <input type="datetime-local" name="before" defaultValue={search.before?.slice(0, 16)} className={`${INPUT} font-normal`} />
        </Field>
        {wrong && (
          <p role="alert" className="text-sm text-bad sm:col-span-2">
            {wrong}
          </p>
        )}
        <div className="sm:col-span-2">
          <Button type="submit" look="primary">
            Apply
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Columns({ columns, hidden, onHide }: Pick<ToolbarProps, "columns" | "hidden" | "onHide">) {
  const { density } = usePreferences();
  return (
    <Menu trigger={<Button icon={Columns3} className="max-md:hidden">Columns</Button>}>
      <MenuLabel>Columns</MenuLabel>
      {columns.map(({ id, label }) => (
        <MenuCheck key={id} checked={!hidden[id]} onCheckedChange={(isShown) => onHide({ ...hidden, [id]: !isShown })}>
          {label}
        </MenuCheck>
      ))}
      <MenuLine />
      <MenuCheck checked={density === "compact"} onCheckedChange={(isCompact) => prefer({ density: isCompact ? "compact" : "comfortable" })}>
        Compact rows
      </MenuCheck>
    </Menu>
  );
}

function Views({ list, search, onSearch }: Pick<ToolbarProps, "list" | "search" | "onSearch">) {
  const [views, setViews] = useViews(list);
  const [isSaving, setSaving] = useState(false);
  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    const name = said(new FormData(event.currentTarget), "name");
    if (!name) return;
    setViews(withView(views, { name, search }));
    announce(`The view “${name}” is saved in this browser.`, "good");
    setSaving(false);
  };
  return (
    <>
      <Menu trigger={<Button icon={Bookmark}>Views</Button>}>
        {views.length > 0 && <MenuLabel>Saved in this browser</MenuLabel>}
        {views.map((view) => (
          <MenuItem key={view.name} onSelect={() => onSearch(view.search)}>
            {view.name}
          </MenuItem>
        ))}
        {views.length > 0 && <MenuLine />}
        <MenuItem onSelect={() => setSaving(true)}>Save this view…</MenuItem>
        <MenuItem onSelect={() => copy(location.href, () => announce("The link to this view is copied."))}>Copy a link to this view</MenuItem>
        {views.length > 0 && <MenuLine />}
        {views.map((view) => (
          <MenuItem key={view.name} onSelect={() => setViews(views.filter(({ name }) => name !== view.name))}>
            Delete “{view.name}”
          </MenuItem>
        ))}
      </Menu>
      <Dialog title="Save this view" isOpen={isSaving} onClose={() => setSaving(false)}>
        <form onSubmit={submit} className="flex flex-col gap-4">
          <Field label="Name" hint="It is kept in this browser. A link shares it with others.">
            <input name="name" required maxLength={80} className={`${INPUT} font-normal`} />
          </Field>
          <div>
            <Button type="submit" look="primary">
              Save
            </Button>
          </div>
        </form>
      </Dialog>
    </>
  );
}

function Export({ list, search }: Pick<ToolbarProps, "list" | "search">) {
  const { session } = useApp();
  const [bytes, setBytes] = useState<number>();
  const running = useRef<AbortController>(undefined);
  useEffect(() => () => running.current?.abort(), []);
  const start = async (format: "csv" | "ndjson") => {
    const controller = (running.current = new AbortController());
    setBytes(0);
    try {
      await download(session, `/${list}/export?${queryOf(search)}&format=${format}`, setBytes, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) announce(`The export failed: ${error instanceof Error ? error.message : String(error)}`, "bad");
    } finally {
      setBytes(undefined);
    }
  };
  if (bytes !== undefined) {
    return (
      <Button icon={X} onClick={() => running.current?.abort()}>
        <span className="figures">Cancel ({(bytes / 1e6).toFixed(1)} MB)</span>
      </Button>
    );
  }
  return (
    <Menu trigger={<Button icon={Download}>Export</Button>}>
      <MenuLabel>All that fits these filters</MenuLabel>
      <MenuItem onSelect={() => void start("csv")}>CSV, for spreadsheets</MenuItem>
      <MenuItem onSelect={() => void start("ndjson")}>NDJSON, for programs</MenuItem>
    </Menu>
  );
}
