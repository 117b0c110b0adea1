/** One file or folder of an archive. `bytes` is `undefined` for a folder. */
export interface TarEntry {
  /** Relative, with `/`, at most 100 bytes. */
  path: string;
  /** Permission bits only, e.g. 0o755. */
  mode: number;
  bytes?: Uint8Array | undefined;
}

const block = 512;
const padded = (size: number) => Math.ceil(size / block) * block;

/**
 * Packs entries as a plain ustar archive without times or owners, so that equal input gives equal bytes.
 * @throws {RangeError} a path of more than 100 bytes.
 */
export function writeTar(entries: readonly TarEntry[]): Uint8Array {
  const size = entries.reduce((sum, { bytes }) => sum + block + padded(bytes?.length ?? 0), 2 * block);
  const tar = Buffer.alloc(size);
  let at = 0;
  for (const { path, mode, bytes } of entries) {
    if (Buffer.byteLength(path) > 100) throw new RangeError(`the path is too long for the archive: ${path}`);
    const octal = (value: number, offset: number, width: number) =>
      tar.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at + offset, "latin1");
    tar.write(path, at, "utf8");
    octal(mode, 100, 8);
    octal(0, 108, 8);
    octal(0, 116, 8);
    octal(bytes?.length ?? 0, 124, 12);
    octal(0, 136, 12);
    tar.fill(" ", at + 148, at + 156);
    tar.write(bytes ? "0" : "5", at + 156, "latin1");
    tar.write("ustar\x0000", at + 257, "latin1");
    const sum = tar.subarray(at, at + block).reduce((total, byte) => total + byte, 0);
    octal(sum, 148, 7);
    at += block;
    if (bytes) tar.set(bytes, at);
    at += padded(bytes?.length ?? 0);
  }
  return tar;
}

/** Reads what `writeTar` wrote, in its order. The entries share the memory of `tar`. */
export function* readTar(tar: Uint8Array): Generator<TarEntry> {
  const buffer = Buffer.from(tar.buffer, tar.byteOffset, tar.byteLength);
  const text = (from: number, width: number) =>
    buffer
      .toString("utf8", from, from + width)
      .split("\0", 1)
      .join();
  for (let at = 0; at + block <= buffer.length && buffer[at] !== 0; ) {
    const size = Number.parseInt(text(at + 124, 12), 8);
    const start = at + block;
    const isFile = text(at + 156, 1) === "0";
    yield {
      path: text(at, 100),
      mode: Number.parseInt(text(at + 100, 8), 8),
      bytes: isFile ? buffer.subarray(start, start + size) : undefined,
    };
    at = start + padded(size);
  }
}
