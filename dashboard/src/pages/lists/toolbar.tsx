/** What stands above a list: search, period, amounts, chips of all that holds, columns, views, export. */

import { Bookmark, Columns3, ListFilter, Search as SearchIcon, SlidersHorizontal, X } from "lucide-react";
import { useEffect, useRef, useState, type ReactNode, type SyntheticEvent } from "react";
import { useMay } from "@/app/context.ts";
import { useShortcut } from "@/app/keyboard.tsx";
import { announce } from "@/components/announcer.tsx";
import { copy } from "@/components/copy.tsx";
import { Export } from "@/components/export.tsx";
import { Button, Dialog, Field, INPUT, Kbd, Menu, MenuCheck, MenuItem, MenuLabel, MenuLine, Select } from "@/components/ui.tsx";
import { TEXT_MAX, said, saidInstant } from "@/lib/form.ts";
import { prefer, usePreferences } from "@/lib/preferences.ts";
import { chips, inCurrency, queryOf, type Search } from "./filters.ts";
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
  /** Where the focus goes from what is no longer there. */
  onFocusList: () => void;
}

/** Where there is little room, the words are enough. */
const TIGHT = "max-sm:!px-2.5 max-sm:[&>svg]:hidden";

export function Toolbar({ list, search, onSearch, columns, hidden, onHide, facets, onFocusList }: ToolbarProps) {
  const [isFacetsOpen, setFacetsOpen] = useState(false);
  const [isMoreOpen, setMoreOpen] = useState(false);
  const mayExport = useMay("export");
  return (
    <>
      <div className="flex flex-wrap items-center gap-2 pb-3">
        <TextSearch search={search} onSearch={onSearch} onFocusList={onFocusList} />
        <Period search={search} onSearch={onSearch} />
        <Button icon={ListFilter} className={`xl:hidden ${TIGHT}`} onClick={() => setFacetsOpen(true)}>
          Facets
        </Button>
        <Button icon={SlidersHorizontal} className={TIGHT} onClick={() => setMoreOpen(true)}>
          More filters
        </Button>
        <div className="flex flex-wrap items-center gap-2 sm:ml-auto">
          <Views list={list} search={search} onSearch={onSearch} />
          <Columns columns={columns} hidden={hidden} onHide={onHide} />
          {mayExport && <Export pathOf={(format) => `/${list}/export?${queryOf(search)}&format=${format}`} />}
        </div>
      </div>
      <Chips search={search} onSearch={onSearch} onFocusList={onFocusList} />
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

function TextSearch({ search, onSearch, onFocusList }: SearchProps & Pick<ToolbarProps, "onFocusList">) {
  const ref = useRef<HTMLInputElement>(null);
  const go = () => {
    ref.current?.focus();
    ref.current?.select();
  };
  // by the letter: on many keyboards it stands elsewhere, and needs Shift
  useShortcut("/", go, { useKey: true, ignoreModifiers: true, preventDefault: true });
  // another view, or a chip that was removed; the same input, which keeps the focus
  useEffect(() => {
    if (ref.current) ref.current.value = search.text ?? "";
  }, [search.text]);
  const submit = (event: SyntheticEvent<HTMLFormElement>) => {
    event.preventDefault();
    onSearch({ ...search, text: said(new FormData(event.currentTarget), "text") });
    // where the keys of the list work; / leads back
    onFocusList();
  };
  return (
    <form role="search" onSubmit={submit} className="relative min-w-44 flex-1 sm:w-64 sm:flex-none">
      <SearchIcon aria-hidden className="absolute top-2.5 left-3 size-4 text-ink-3" />
      <input
        ref={ref}
        type="search"
        name="text"
        aria-label="Search by transaction id, event id or reference"
        placeholder="Id or reference"
        defaultValue={search.text}
        maxLength={TEXT_MAX}
        className={`${INPUT} peer w-full pr-9 pl-9`}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
      <span className="pointer-events-none absolute top-2 right-2.5 peer-focus:hidden peer-[:not(:placeholder-shown)]:hidden max-sm:hidden">
        <Kbd>/</Kbd>
      </span>
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
    <Select
      aria-label="Period"
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
    </Select>
  );
}

function Chips({ search, onSearch, onFocusList }: SearchProps & Pick<ToolbarProps, "onFocusList">) {
  const { zone } = usePreferences();
  const shown = chips(search, zone);
  const list = useRef<HTMLUListElement>(null);
  const removed = useRef<number>(undefined);
  // the chip that follows has the focus then, else the one before, else the list
  useEffect(() => {
    const at = removed.current;
    removed.current = undefined;
    if (at === undefined) return;
    const next = list.current?.querySelectorAll<HTMLElement>("[data-chip]")[Math.min(at, shown.length - 1)];
    if (next) next.focus();
    else onFocusList();
  }, [shown.length, onFocusList]);
  const clear = () => {
    removed.current = 0;
    onSearch({ state: search.state });
  };
  useShortcut("alt+backspace", clear, { preventDefault: true, enabled: shown.length > 0 });
  if (!shown.length) return null;
  return (
    <ul ref={list} aria-label="Filters that hold" className="flex flex-wrap items-center gap-1.5 pb-3">
      {shown.map((chip, at) => (
        <li key={chip.key}>
          <button
            type="button"
            data-chip
            aria-label={`Remove the filter ${chip.text}`}
            onClick={() => {
              removed.current = at;
              onSearch(chip.without);
            }}
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
    onSearch({ ...inCurrency(search, currency), amount_min, amount_max, account: said(form, "account"), since, before });
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
        {mayAccounts && <Field label="Account number">{text("account", { maxLength: TEXT_MAX })}</Field>}
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
      <Menu trigger={<Button icon={Bookmark} className={TIGHT}>Views</Button>}>
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
