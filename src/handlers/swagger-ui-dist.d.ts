declare module "swagger-ui-dist/swagger-ui-bundle.js" {
  /** Where `Bun.file` finds the embedded file. */
  const path: string;
  export default path;
}
declare module "swagger-ui-dist/swagger-ui.css" {
  /** Where `Bun.file` finds the embedded file. */
  const path: string;
  export default path;
}
declare module "swagger-ui-dist/favicon-32x32.png" {
  /** Where `Bun.file` finds the embedded file. */
  const path: string;
  export default path;
}
