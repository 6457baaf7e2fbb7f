/** Money by currency. Nothing is converted: amounts of two currencies are never added. */

import { Link } from "@tanstack/react-router";
import type { Schema } from "@/api/client.ts";
import { Scrollable } from "@/components/scrollable.tsx";
import { Empty } from "@/components/states.tsx";
import { figure, shareOf } from "@/lib/money.ts";
import { major, matchedValue, summed } from "./figures.ts";

const CELL = "py-2 pr-4 text-right md:pl-4";

export function MoneyTable({ open, verdicts }: { open: Schema["OpenBreaks"]; verdicts: Schema["TransactionStats"] }) {
  const risks = summed(open.classes.map(({ amounts }) => amounts));
  const volumes = summed(verdicts.verdicts.map(({ amounts }) => amounts));
  const rates = matchedValue(verdicts.verdicts);
  const rows = [...risks, ...volumes.filter(({ currency }) => !risks.some((risk) => risk.currency === currency)).map(none)];
  if (rows.length === 0) return <Empty title="No money was moved" />;
  return (
    <>
      <Scrollable label="Money by currency: table">
        <table className="figures w-full text-xs md:text-sm">
          <thead className="text-xs text-ink-2">
            <tr className="border-b border-line">
              <th scope="col" className="px-4 py-2 text-left font-medium">
                Currency
              </th>
              <th scope="col" className={`${CELL} font-medium`}>
                At risk
              </th>
              <th scope="col" className={`${CELL} font-medium`}>
                Volume
              </th>
              <th scope="col" className={`${CELL} font-medium`}>
                Matched by value
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((risk) => {
              const volume = volumes.find(({ currency }) => currency === risk.currency);
              const rate = rates.get(risk.currency);
              return (
                <tr key={risk.currency} className="border-t border-line first:border-t-0">
                  <th scope="row" className="px-4 py-2 text-left font-medium">
                    <Link to="/exceptions" search={{ state: "OPEN", currency: risk.currency, sort: "-amount" }} className="underline decoration-line-strong/60 underline-offset-3 hover:text-accent">
                      {risk.currency}
                    </Link>
                  </th>
                  <td className={`${CELL} font-medium whitespace-nowrap`}>{figure(risk)}</td>
                  <td className={`${CELL} whitespace-nowrap text-ink-2`}>{volume ? figure(volume) : "–"}</td>
                  <td className={`${CELL} whitespace-nowrap text-ink-2`}>{rate ? shareOf(rate.matched, rate.decided) : "–"}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scrollable>
      <p className="border-t border-line px-4 py-2 text-xs text-ink-3">
        At risk of a break: its difference where that is an amount, else the whole amount of the transaction; a transaction with several breaks counts
        with each. Currencies with the largest numbers stand first; nothing is converted.
      </p>
    </>
  );
}

/** Nothing, in the currency of an amount. */
function none({ currency, major: units }: Schema["Money"]): Schema["Money"] {
  return { currency, minor: "0", major: units === null ? null : major(0n, units.split(".")[1]?.length ?? 0) };
}
