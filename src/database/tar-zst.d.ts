declare module "*.tar.zst" {
  /** Where `Bun.file` finds the embedded file. */
  const path: string;
  export default path;
}
