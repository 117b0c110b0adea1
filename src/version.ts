import { name, version } from "../package.json" with { type: "json" };

/** The program's name and version, such as `llmops` and `0.1.0`. */
export { name, version };
