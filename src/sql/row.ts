/**
 * Rows in PostgreSQL's binary format for `copy`: for each the number of its fields, two bytes, and for each field its length, four
 * bytes, and its value; the length of `null` is -1. Numbers have their highest byte first.
 */
const nullLength = -1;

/** Milliseconds from 1970 to 2000, where PostgreSQL's time begins. */
const epochMs = 946_684_800_000;
const usPerMs = 1000;
const twoTo32 = 2 ** 32;

/** Digits that a digit of a `numeric` stands for, and the sign of one that is below zero. */
const perDigit = 4;
const minus = 0x4000;

const hexDigits = new Uint8Array(128);
for (let digit = 0; digit < 16; digit++) {
  hexDigits[digit.toString(16).charCodeAt(0)] = digit;
  hexDigits[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}
/** Where the bytes of a UUID stand in its text. */
const uuidPlaces = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
const uuidBytes = uuidPlaces.length;

/** How much memory a writer has to begin with, and how much it keeps, in bytes. */
const keptBytesMin = 4096;
const keptBytesMax = 1024 * 1024;

/** What was written: so many bytes of a buffer, from its beginning on. */
export interface Written {
  readonly bytes: Buffer;
  readonly length: number;
}

/** Puts fields together, one after the other; its memory is used again for the next row. */
export class RowWriter implements Written {
  #bytes = Buffer.allocUnsafeSlow(keptBytesMin);
  #view = new DataView(this.#bytes.buffer);
  /** How many bytes are set. */
  length = 0;

  get bytes(): Buffer {
    return this.#bytes;
  }

  #room(bytes: number): number {
    const at = this.length;
    if (at + bytes > this.#bytes.length) {
      const more = Buffer.allocUnsafeSlow((at + bytes) * 2);
      this.#bytes.copy(more, 0, 0, at);
      this.#bytes = more;
      this.#view = new DataView(more.buffer);
    }
    this.length = at + bytes;
    return at;
  }

  /** Begins anew; memory that a very long text has taken is given back. */
  reset(): void {
    this.length = 0;
    if (this.#bytes.length <= keptBytesMax) return;
    this.#bytes = Buffer.allocUnsafeSlow(keptBytesMin);
    this.#view = new DataView(this.#bytes.buffer);
  }

  byte(value: number): void {
    const at = this.#room(1);
    this.#bytes[at] = value;
  }

  /** A number of four bytes; at `at`, where some were set before. */
  count(value: number, at = this.#room(4)): void {
    this.#view.setInt32(at, value);
  }

  /** Begins a row. */
  row(fields: number): void {
    const at = this.#room(2);
    this.#view.setInt16(at, fields);
  }

  null(): void {
    this.count(nullLength);
  }

  uuid(value: string | null): void {
    if (value === null) {
      this.null();
      return;
    }
    const at = this.#room(4 + uuidBytes);
    this.#view.setInt32(at, uuidBytes);
    const bytes = this.#bytes;
    for (let place = 0; place < uuidBytes; place++) {
      const from = uuidPlaces[place] as number;
      const high = hexDigits[value.charCodeAt(from)] as number;
      bytes[at + 4 + place] = (high << 4) | (hexDigits[value.charCodeAt(from + 1)] as number);
    }
  }

  text(value: string | null): void {
    if (value === null) {
      this.null();
      return;
    }
    // No character takes more than three bytes.
    const at = this.#room(4 + 3 * value.length);
    const length = value === "" ? 0 : this.#bytes.write(value, at + 4);
    this.#view.setInt32(at, length);
    this.length = at + 4 + length;
  }

  /** A JSON text. */
  json(value: string | null): void {
    if (value === null) {
      this.null();
      return;
    }
    const at = this.#room(5 + 3 * value.length);
    // The version of the format.
    this.#bytes[at + 4] = 1;
    const length = 1 + this.#bytes.write(value, at + 5);
    this.#view.setInt32(at, length);
    this.length = at + 4 + length;
  }

  boolean(value: boolean): void {
    const at = this.#room(5);
    this.#view.setInt32(at, 1);
    this.#bytes[at + 4] = value ? 1 : 0;
  }

  smallint(value: number): void {
    if (value !== (value << 16) >> 16) {
      this.#number(value);
      return;
    }
    const at = this.#room(6);
    this.#view.setInt32(at, 2);
    this.#view.setInt16(at + 4, value);
  }

  integer(value: number | null): void {
    if (value === null) {
      this.null();
      return;
    }
    if (value !== (value | 0)) {
      this.#number(value);
      return;
    }
    const at = this.#room(8);
    this.#view.setInt32(at, 4);
    this.#view.setInt32(at + 4, value);
  }

  /** A number that is none of the column's: written as it is, which PostgreSQL refuses as having too many bytes. */
  #number(value: number): void {
    const at = this.#room(12);
    this.#view.setInt32(at, 8);
    this.#view.setFloat64(at + 4, value);
  }

  /** A time as ISO 8601 has it. */
  timestamptz(value: string): void {
    const us = (Date.parse(value) - epochMs) * usPerMs;
    const at = this.#room(12);
    this.#view.setInt32(at, 8);
    this.#view.setInt32(at + 4, Math.floor(us / twoTo32));
    this.#view.setUint32(at + 8, ((us % twoTo32) + twoTo32) % twoTo32);
  }

  /** An exact decimal, such as `-12.5`. */
  numeric(value: string | null): void {
    if (value === null) {
      this.null();
      return;
    }
    const negative = value.startsWith("-");
    const start = negative ? 1 : 0;
    const point = value.indexOf(".");
    const wholeEnd = point === -1 ? value.length : point;
    const scale = point === -1 ? 0 : value.length - point - 1;
    const groupsBefore = Math.ceil((wholeEnd - start) / perDigit);
    const groups = groupsBefore + Math.ceil(scale / perDigit);
    const at = this.#room(12 + 2 * groups);
    const view = this.#view;
    let first = 0;
    let digits = 0;
    for (let group = 0; group < groups; group++) {
      let digit = 0;
      for (let place = 0; place < perDigit; place++) {
        // Digits are counted from the point, to both sides of it.
        const from = (group - groupsBefore) * perDigit + place;
        const code = value.charCodeAt(from < 0 ? wholeEnd + from : wholeEnd + 1 + from);
        const inside = from < 0 ? wholeEnd + from >= start : from < scale;
        digit = digit * 10 + (inside ? code - 48 : 0);
      }
      if (digits === 0 && digit === 0) {
        first++;
        continue;
      }
      view.setInt16(at + 12 + 2 * digits++, digit);
    }
    // Neither has a zero at its end.
    while (digits > 0 && view.getInt16(at + 10 + 2 * digits) === 0) digits--;
    view.setInt32(at, 8 + 2 * digits);
    view.setInt16(at + 4, digits);
    view.setInt16(at + 6, digits === 0 ? 0 : groupsBefore - 1 - first);
    view.setInt16(at + 8, negative && digits > 0 ? minus : 0);
    view.setInt16(at + 10, scale);
    this.length = at + 12 + 2 * digits;
  }
}

/** Reads what a {@link RowWriter} has put together, from `at` on. @throws {RangeError} it does not go on. */
export class RowReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
  }

  /** Where `bytes` more begin. */
  #next(bytes: number): number {
    const at = this.at;
    if (at + bytes > this.#bytes.length) throw new RangeError("a row that was not written whole");
    this.at = at + bytes;
    return at;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#next(1)] as number;
  }

  count(): number {
    return this.#view.getInt32(this.#next(4));
  }

  /** The number of a row's fields. */
  row(): number {
    return this.#view.getInt16(this.#next(2));
  }

  /** Where a field begins, and how long it is; `undefined` for `null`. */
  #field(): { at: number; length: number } | undefined {
    const length = this.count();
    return length === nullLength ? undefined : { at: this.#next(length), length };
  }

  uuid(): string | null {
    const field = this.#field();
    if (!field) return null;
    const hex = this.#bytes.toString("hex", field.at, field.at + field.length);
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  text(): string | null {
    const field = this.#field();
    return field ? this.#bytes.toString("utf8", field.at, field.at + field.length) : null;
  }

  json(): unknown {
    const field = this.#field();
    return field ? JSON.parse(this.#bytes.toString("utf8", field.at + 1, field.at + field.length)) : null;
  }

  boolean(): boolean {
    const field = this.#field();
    return field !== undefined && this.#bytes[field.at] === 1;
  }

  /** A whole number of either size. */
  integer(): number | null {
    const field = this.#field();
    if (!field) return null;
    if (field.length === 2) return this.#view.getInt16(field.at);
    return field.length === 4 ? this.#view.getInt32(field.at) : this.#view.getFloat64(field.at);
  }

  timestamptz(): string | null {
    const field = this.#field();
    if (!field) return null;
    const us = this.#view.getInt32(field.at) * twoTo32 + this.#view.getUint32(field.at + 4);
    return new Date(us / usPerMs + epochMs).toISOString();
  }

  numeric(): string | null {
    const field = this.#field();
    if (!field) return null;
    const [count, weight, sign, scale] = [0, 2, 4, 6].map((place) =>
      this.#view.getInt16(field.at + place),
    ) as [number, number, number, number];
    let whole = "";
    let rest = "";
    for (let power = Math.max(weight, 0); power >= -Math.ceil(scale / perDigit); power--) {
      const place = weight - power;
      const digit = place >= 0 && place < count ? this.#view.getInt16(field.at + 8 + 2 * place) : 0;
      const text = String(digit).padStart(perDigit, "0");
      if (power >= 0) whole += text;
      else rest += text;
    }
    const fraction = scale === 0 ? "" : `.${rest.slice(0, scale)}`;
    return `${sign === minus ? "-" : ""}${whole.replace(/^0+(?=\d)/, "")}${fraction}`;
  }
}
