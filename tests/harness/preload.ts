import { afterAll } from "bun:test";
import { stopServer } from "./database.ts";

afterAll(stopServer);
