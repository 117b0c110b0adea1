import type { Uuid } from "../id.ts";

/** Who a request acts as. */
export interface Principal {
  accountId: Uuid;
  /** Sees and changes everybody's things, as owners and admins do. */
  seesAll: boolean;
}
