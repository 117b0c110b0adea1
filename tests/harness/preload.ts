import { afterAll, setDefaultTimeout } from "bun:test";
import { stopServer } from "./database.ts";

// A limit that only something that hangs can meet, however busy the machine is.
setDefaultTimeout(60_000);

afterAll(stopServer);
