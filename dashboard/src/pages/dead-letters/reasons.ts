/** Why a record is refused, and what to do about it. */

import { readable } from "@/lib/words.ts";

export const REASONS: Record<string, { about: string; todo: string }> = {
  NULL_VALUE: { about: "A record without a value", todo: "The feed sent a tombstone. Ask its owner; there is nothing to replay." },
  BAD_MAGIC: { about: "Not in the registry's wire format", todo: "The feed writes without the registry's serializer. Correct the feed; it must send again." },
  UNKNOWN_SCHEMA: { about: "The registry does not know its schema", todo: "Register the schema, then replay." },
  BAD_AVRO: { about: "The bytes do not fit their schema", todo: "The feed wrote broken bytes. Correct the feed; it must send again." },
  TOO_LARGE: { about: "Larger than a record may be", todo: "Ask the feed's owner what it holds. Raise the limit only if that is meant." },
  BAD_KEY: { about: "The key is none that can be used", todo: "Correct the feed; it must send again." },
  TOO_LATE: { about: "It came after its case was closed", todo: "Decide by hand: the case is no longer kept. A replay is refused again." },
  CASE_FULL: { about: "Its transaction has too many events", todo: "Look for a loop in the feed that sends the transaction again and again." },
  WRONG_SOURCE: { about: "It names another source than its topic", todo: "The feed writes to the wrong topic. Correct it; it must send again." },
  EMPTY_FIELD: { about: "A field that must be filled is empty", todo: "Correct the feed; the detail names the field." },
  UNKNOWN_STATUS: { about: "The rules do not know its status", todo: "Add the status to the rules, then replay." },
  UNKNOWN_CURRENCY: { about: "Its currency is none of ISO 4217", todo: "Correct the feed; it must send again." },
  NEGATIVE_AMOUNT: { about: "Its amount is below zero", todo: "Correct the feed: the direction says debit or credit, not the sign." },
  NEGATIVE_REVISION: { about: "Its revision is below zero", todo: "Correct the feed; it must send again." },
  FUTURE_DATED: { about: "Its time lies in the future", todo: "Check the clock of the feed; replay once its time has come." },
  KEY_MISMATCH: { about: "Key and transaction id differ", todo: "The feed partitions by something else. Correct it; it must send again." },
};

/** How a reason is called: its code in words, but for those that are no words. */
const NAMES: Record<string, string> = { BAD_AVRO: "Broken Avro", BAD_MAGIC: "Wrong wire format", NULL_VALUE: "No value" };

export const reasonName = (code: string): string => NAMES[code] ?? readable(code);

/** What a trial says would happen. */
export const PLANS: Record<string, string> = {
  DO: "This would be done now. The worker decides on it anew: first correct why it was refused.",
  REPEAT: "It is not known whether an earlier attempt went through; it would be repeated, which does no harm.",
  DONE: "This was done before; nothing is left to do.",
  ALREADY: "Somebody has replayed or discarded it already.",
  KEY_TAKEN: "The name of this request was used for another one. Close the letter and open it again.",
  NOTHING_TO_SEND: "The archive does not hold the whole record, so it cannot be sent again.",
};
