/** The parts that pages are made of. They know how to look and behave, and nothing of transactions. */

import { ChevronDown, X, type LucideIcon } from "lucide-react";
import { DropdownMenu, ToggleGroup, Tooltip as RadixTooltip } from "radix-ui";
import { useEffect, useId, useRef, type ComponentProps, type ReactNode } from "react";
import type { Tone } from "@/lib/words.ts";
import { Announcer } from "./announcer.tsx";

export function classes(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(" ");
}

const BUTTON = {
  primary: "bg-accent text-accent-ink hover:brightness-110 border-transparent",
  plain: "bg-surface text-ink border-line hover:bg-hover",
  quiet: "bg-transparent text-ink-2 border-transparent hover:bg-hover hover:text-ink",
  danger: "bg-bad-soft text-bad border-bad/40 hover:brightness-105",
};

type ButtonProps = ComponentProps<"button"> & {
  look?: keyof typeof BUTTON;
  icon?: LucideIcon;
  /** A hint of the key that does the same. */
  shortcut?: string;
};

export function Button({ look = "plain", icon: Icon, shortcut, className, children, type = "button", ...rest }: ButtonProps) {
  return (
    <button
      type={type}
      className={classes(
        "inline-flex h-9 items-center justify-center gap-2 rounded-md border px-3 text-sm font-medium whitespace-nowrap transition-colors",
        "disabled:opacity-55 aria-disabled:opacity-55",
        BUTTON[look],
        className,
      )}
      {...rest}
    >
      {Icon && <Icon aria-hidden className="size-4 shrink-0" />}
      {children}
      {shortcut && (
        <span aria-hidden className="max-sm:hidden">
          <Kbd>{shortcut}</Kbd>
        </span>
      )}
    </button>
  );
}

type IconButtonProps = Omit<ButtonProps, "children" | "icon"> & { icon: LucideIcon; label: string };

/** A button that is a picture; its name is in the tooltip and for screen readers. */
export function IconButton({ icon: Icon, label, className, look = "quiet", shortcut, ...rest }: IconButtonProps) {
  return (
    <Tooltip text={shortcut ? `${label} (${shortcut})` : label}>
      <Button look={look} aria-label={label} className={classes("w-9 !px-0", className)} {...rest}>
        <Icon aria-hidden className="size-4" />
      </Button>
    </Tooltip>
  );
}

export function Kbd({ children }: { children: ReactNode }) {
  return (
    <kbd className="rounded border border-line bg-sunken px-1.5 font-sans text-2xs text-ink-2 leading-4">{children}</kbd>
  );
}

const TONES: Record<Tone, string> = {
  good: "bg-good-soft text-good",
  warn: "bg-warn-soft text-warn",
  bad: "bg-bad-soft text-bad",
  info: "bg-info-soft text-info",
  quiet: "bg-quiet-soft text-quiet",
};

export function Badge({ tone, icon: Icon, children, className }: { tone: Tone; icon?: LucideIcon; children: ReactNode; className?: string }) {
  return (
    <span className={classes("inline-flex h-5.5 items-center gap-1 rounded px-1.5 text-xs font-medium whitespace-nowrap", TONES[tone], className)}>
      {Icon && <Icon aria-hidden className="size-3.5 shrink-0" />}
      {children}
    </span>
  );
}

/** A surface with a title. */
export function Card({ title, aside, children, className, bare }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; className?: string; bare?: boolean }) {
  const id = useId();
  return (
    <section aria-labelledby={title ? id : undefined} className={classes("min-w-0 rounded-lg border border-line bg-surface", className)}>
      {(title ?? aside) && (
        <header className="flex min-h-12 flex-wrap items-center justify-between gap-x-3 gap-y-1 border-b border-line px-4 py-2">
          <h2 id={id} className="text-sm font-semibold">
            {title}
          </h2>
          <div className="flex items-center gap-2 text-xs text-ink-2">{aside}</div>
        </header>
      )}
      <div className={bare ? undefined : "p-4"}>{children}</div>
    </section>
  );
}

export function PageHeader({ title, about, children }: { title: ReactNode; about?: ReactNode; children?: ReactNode }) {
  return (
    <header className="flex flex-wrap items-end justify-between gap-x-4 gap-y-3 pb-4">
      <div className="min-w-0">
        <h1 className="text-xl font-semibold tracking-tight outline-none" tabIndex={-1} data-page-title>
          {title}
        </h1>
        {about && <p className="text-sm text-ink-2">{about}</p>}
      </div>
      <div className="flex flex-wrap items-center gap-2">{children}</div>
    </header>
  );
}

export function Tooltip({ text, children }: { text: ReactNode; children: ReactNode }) {
  return (
    <RadixTooltip.Root>
      <RadixTooltip.Trigger asChild>{children}</RadixTooltip.Trigger>
      <RadixTooltip.Portal>
        <RadixTooltip.Content
          sideOffset={6}
          collisionPadding={8}
          className="z-50 max-w-80 rounded-md border border-line bg-raised px-2.5 py-1.5 text-xs text-ink shadow-lift"
        >
          {text}
        </RadixTooltip.Content>
      </RadixTooltip.Portal>
    </RadixTooltip.Root>
  );
}

/** A menu that is not modal: the page behind it stays as it is, and no style is written into the document. */
export function Menu({ trigger, children, align = "end" }: { trigger: ReactNode; children: ReactNode; align?: "start" | "end" }) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal>
        <DropdownMenu.Content
          align={align}
          sideOffset={6}
          collisionPadding={8}
          className="z-50 max-h-(--radix-dropdown-menu-content-available-height) min-w-48 overflow-auto rounded-lg border border-line bg-raised p-1 text-sm text-ink shadow-lift"
        >
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

const MENU_ITEM = "flex cursor-default items-center gap-2 rounded-md px-2.5 py-1.5 outline-none data-highlighted:bg-hover data-disabled:opacity-50";

export function MenuItem({ icon: Icon, children, ...rest }: ComponentProps<typeof DropdownMenu.Item> & { icon?: LucideIcon }) {
  return (
    <DropdownMenu.Item className={MENU_ITEM} {...rest}>
      {Icon && <Icon aria-hidden className="size-4 text-ink-2" />}
      {children}
    </DropdownMenu.Item>
  );
}

export function MenuCheck({ children, ...rest }: ComponentProps<typeof DropdownMenu.CheckboxItem>) {
  return (
    <DropdownMenu.CheckboxItem className={classes(MENU_ITEM, "pl-7 relative")} onSelect={(event) => event.preventDefault()} {...rest}>
      <DropdownMenu.ItemIndicator className="absolute left-2.5">✓</DropdownMenu.ItemIndicator>
      {children}
    </DropdownMenu.CheckboxItem>
  );
}

export const MenuLabel = (props: ComponentProps<typeof DropdownMenu.Label>) => (
  <DropdownMenu.Label className="px-2.5 pt-1.5 pb-1 text-xs text-ink-3" {...props} />
);
export const MenuLine = () => <DropdownMenu.Separator className="my-1 h-px bg-line" />;

/** A few choices side by side, of which one holds. */
export function Choice<Value extends string>({ label, value, options, onChange }: { label: string; value: Value; options: readonly { value: Value; label: ReactNode }[]; onChange: (value: Value) => void }) {
  return (
    <ToggleGroup.Root
      type="single"
      aria-label={label}
      value={value}
      // a second click on what is chosen takes nothing away
      onValueChange={(chosen) => chosen && onChange(chosen as Value)}
      className="inline-flex rounded-md border border-line bg-sunken p-0.5"
    >
      {options.map((option) => (
        <ToggleGroup.Item
          key={option.value}
          value={option.value}
          className="h-7.5 rounded px-2.5 text-sm text-ink-2 hover:text-ink data-[state=on]:bg-surface data-[state=on]:font-medium data-[state=on]:text-ink data-[state=on]:shadow-sm data-[state=on]:ring-1 data-[state=on]:ring-line-strong/40"
        >
          {option.label}
        </ToggleGroup.Item>
      ))}
    </ToggleGroup.Root>
  );
}

interface ModalProps extends Pick<ComponentProps<"dialog">, "aria-label" | "aria-labelledby" | "className" | "closedby"> {
  isOpen: boolean;
  onClose: () => void;
  /** There while it is open only: each time it begins anew. */
  children: ReactNode;
}

/** The browser's own dialog: it holds the focus, Escape closes it, and what is behind cannot be reached. */
export function Modal({ isOpen, children, className, ...rest }: ModalProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (isOpen && dialog && !dialog.open) {
      dialog.showModal();
      // the browser would begin with the button that closes it
      dialog.tabIndex = -1;
      (dialog.querySelector<HTMLElement>("input, select") ?? dialog).focus();
    }
    if (!isOpen && dialog?.open) dialog.close();
  }, [isOpen]);
  return (
    <dialog ref={ref} className={classes("border-line p-0 text-ink outline-none", className)} {...rest}>
      {isOpen && (
        <>
          {children}
          <Announcer />
        </>
      )}
    </dialog>
  );
}

interface DialogProps extends Pick<ModalProps, "isOpen" | "onClose" | "children"> {
  title: string;
  className?: string;
}

/** In the middle of the window, with a title. */
export function Dialog({ title, onClose, children, className, isOpen }: DialogProps) {
  const id = useId();
  return (
    <Modal
      isOpen={isOpen}
      onClose={onClose}
      aria-labelledby={id}
      className={classes("m-auto w-[min(34rem,calc(100vw-2rem))] rounded-xl border bg-raised shadow-lift", className)}
    >
      <header className="sticky top-0 z-10 flex items-center gap-2 border-b border-line bg-raised py-2 pr-2 pl-5">
        <h2 id={id} className="text-base font-semibold">
          {title}
        </h2>
        <IconButton icon={X} label="Close" className="ml-auto" onClick={onClose} />
      </header>
      <div className="p-5">{children}</div>
    </Modal>
  );
}

export const INPUT =
  "h-9 rounded-md border border-line-strong/60 bg-surface px-3 text-sm text-ink placeholder:text-ink-3 focus-visible:outline-offset-0 aria-invalid:border-bad";

/** One of a few, by the browser's own list. */
export function Select({ className, children, ...rest }: ComponentProps<"select">) {
  return (
    <span className={classes("relative inline-flex", className)}>
      <select className={`${INPUT} w-full appearance-none pr-9 font-normal`} {...rest}>
        {children}
      </select>
      <ChevronDown aria-hidden className="pointer-events-none absolute top-2.5 right-2.5 size-4 text-ink-2" />
    </span>
  );
}

/** An input or select with its label above. */
export function Field({ label, hint, children }: { label: string; hint?: string | undefined; children: ReactNode }) {
  return (
    <label className="flex min-w-0 flex-col gap-1 text-xs font-medium text-ink-2">
      {label}
      {children}
      {hint && <span className="font-normal text-ink-3">{hint}</span>}
    </label>
  );
}
