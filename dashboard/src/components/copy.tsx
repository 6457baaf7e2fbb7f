import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { announce } from "./announcer.tsx";
import { Button, IconButton } from "./ui.tsx";

const SHOWN_MS = 1_500;

/** Puts a text on the clipboard, or says why it cannot. */
export function copy(text: string, onDone: () => void): void {
  navigator.clipboard.writeText(text).then(onDone, () => announce("The browser does not allow to copy.", "bad"));
}

function useCopy(text: () => string): [boolean, () => void] {
  const [isCopied, setCopied] = useState(false);
  const start = () =>
    copy(text(), () => {
      setCopied(true);
      setTimeout(() => setCopied(false), SHOWN_MS);
    });
  return [isCopied, start];
}

/** Copies a text; `text` is a function where it is made only when it is wanted. */
export function CopyButton({ children, text }: { children: string; text: () => string }) {
  const [isCopied, start] = useCopy(text);
  return (
    <Button icon={isCopied ? Check : Copy} onClick={start}>
      {isCopied ? "Copied" : children}
    </Button>
  );
}

export function CopyIcon({ label, text }: { label: string; text: () => string }) {
  const [isCopied, start] = useCopy(text);
  return <IconButton icon={isCopied ? Check : Copy} label={isCopied ? "Copied" : label} onClick={start} className="!h-7 w-7" />;
}
