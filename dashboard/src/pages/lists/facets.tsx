import { classes } from "@/components/ui.tsx";
import { count } from "@/lib/money.ts";

export interface Facet {
  name: string;
  title: string;
  values: { code: string; label: string; count: number | undefined }[];
  chosen: readonly string[];
  onToggle: (code: string) => void;
}

/** Values by which a list can be narrowed, each with how many there are; `isOld`: of the filters before, until those that hold are counted. */
export function Facets({ facets, about, isOld }: { facets: Facet[]; about: string; isOld: boolean }) {
  return (
    <div aria-busy={isOld} className="flex flex-col gap-4">
      {facets.map((facet) => (
        <fieldset key={facet.name} className="min-w-0">
          <legend className="pb-1 text-xs font-semibold text-ink-2">{facet.title}</legend>
          {facet.values.map(({ code, label, count: number }) => {
            const isChosen = facet.chosen.includes(code);
            return (
              <label
                key={code}
                className={classes("flex cursor-pointer items-center gap-2 rounded-md px-1.5 py-1 text-sm hover:bg-hover", isChosen && "bg-chosen")}
              >
                <input type="checkbox" checked={isChosen} onChange={() => facet.onToggle(code)} className="size-3.5 accent-(--accent)" />
                <span className="min-w-0 flex-1 truncate">{label}</span>
                <span className={classes("figures text-xs", number ? "text-ink-2" : "text-ink-3", isOld && "opacity-50")}>{number === undefined ? "" : count(number)}</span>
              </label>
            );
          })}
        </fieldset>
      ))}
      <p className="text-2xs text-ink-3">{about}</p>
    </div>
  );
}
