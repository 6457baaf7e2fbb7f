import { Check, Copy } from "lucide-react";
import { useState } from "react";
import { announce } from "./announcer.tsx";
import { Button, IconButton } from "./ui.tsx";

const SHOWN_MS = 1_500;

function useCopy(text: () => string): [boolean, () => void] {
  const [isCopied, setCopied] = useState(false);
  const copy = () => {
    navigator.clipboard.writeText(text()).then(
      () => {
        setCopied(true);
        setTimeout(() => setCopied(false), SHOWN_MS);
      },
      () => announce("The browser does not allow to copy.", "bad"),
    );
  };
  return [isCopied, copy];
}

/** Copies a text; `text` is a function where it is made only when it is wanted. */
export function CopyButton({ children, text }: { children: string; text: () => string }) {
  const [isCopied, copy] = useCopy(text);
  return (
    <Button icon={isCopied ? Check : Copy} onClick={copy}>
      {isCopied ? "Copied" : children}
    </Button>
  );
}

export function CopyIcon({ label, text }: { label: string; text: () => string }) {
  const [isCopied, copy] = useCopy(text);
  return <IconButton icon={isCopied ? Check : Copy} label={isCopied ? "Copied" : label} onClick={copy} className="!h-7 w-7" />;
}
