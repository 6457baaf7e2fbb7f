import { expect, it } from "vitest";
import { lineCounter, saysCut } from "./download.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

it("counts lines, and none that ends within quotes of CSV, however it comes in parts", () => {
  const csv = lineCounter(true);
  for (const part of ['id,text\r\n1,"a', '\nb ""c"" \n"\r', "\n2,d\r\n"]) csv.add(bytes(part));
  expect(csv.count()).toBe(3);
  const ndjson = lineCounter(false);
  ndjson.add(bytes('{"a":"\\""}\n{"b":1}\n'));
  expect(ndjson.count()).toBe(2);
});

it("knows the last line of a file that is cut, and takes none of the list for it", () => {
  const detail = "CUT: there are more than 1200 rows; narrow the filters, or raise RECON_EXPORT_ROWS_MAX";
  expect(saysCut(`b1,T1\r\n"${detail}",,\r\n`)).toBe(true);
  expect(saysCut(`b1,T1\r\n${detail},,\r\n`)).toBe(true);
  expect(saysCut(`{"break_id":"b1"}\n{"cut":true,"rows":1200,"detail":"${detail}"}\n`)).toBe(true);
  expect(saysCut("b1,CUT: there are more than 3 rows\r\n")).toBe(false);
  expect(saysCut('{"txn_id":"CUT"}\n')).toBe(false);
  expect(saysCut("")).toBe(false);
});
