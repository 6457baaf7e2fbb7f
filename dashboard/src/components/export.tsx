/** All of a list as a file from the server: filtered as it is, read as it comes, to be cancelled at any time. */

import { Download, X } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useApp } from "@/app/context.ts";
import { download } from "@/lib/download.ts";
import { plural } from "@/lib/words.ts";
import { announce } from "./announcer.tsx";
import { Button, Menu, MenuItem, MenuLabel } from "./ui.tsx";

type Format = "csv" | "ndjson";

/** `pathOf`: where the server has it in that format, with the filters that hold. */
export function Export({ pathOf }: { pathOf: (format: Format) => string }) {
  const { session } = useApp();
  const [bytes, setBytes] = useState<number>();
  const running = useRef<AbortController>(undefined);
  useEffect(() => () => running.current?.abort(), []);
  const start = async (format: Format) => {
    const controller = (running.current = new AbortController());
    setBytes(0);
    try {
      const { rows, isCut } = await download(session, pathOf(format), setBytes, controller.signal);
      // stays until it is dismissed: the file looks complete
      if (isCut) announce(`Only the first ${plural(rows, "row")} were saved, and there are more. Narrow the filters to have all.`, "bad");
      else announce(`${plural(rows, "row")} saved.`, "good");
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
    <Menu
      trigger={
        <Button icon={Download} className="max-sm:!px-2.5 max-sm:[&>svg]:hidden">
          Export
        </Button>
      }
    >
      <MenuLabel>All that fits these filters</MenuLabel>
      <MenuItem onSelect={() => void start("csv")}>CSV, for spreadsheets</MenuItem>
      <MenuItem onSelect={() => void start("ndjson")}>NDJSON, for programs</MenuItem>
    </Menu>
  );
}
