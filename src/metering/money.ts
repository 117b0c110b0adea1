/** An exact decimal: `units` divided by ten to the power of `scale`. */
export interface Decimal {
  units: bigint;
  scale: number;
}

const powers = Array.from({ length: 40 }, (_, exponent) => 10n ** BigInt(exponent));
const power = (exponent: number): bigint => powers[exponent] ?? 10n ** BigInt(exponent);

/** Up to here a whole number is exact as a `number`, which is read and written several times as fast. */
const exactMax = BigInt(Number.MAX_SAFE_INTEGER);
/** As many digits are certainly below that. */
const exactDigits = 15;

const wholeOf = (digits: string): bigint =>
  digits.length <= exactDigits ? BigInt(Number(digits)) : BigInt(digits);

const digitsOf = (units: bigint): string => (units <= exactMax ? String(Number(units)) : String(units));

/** Reads a short decimal without a sign; `undefined` for all others. Nearly all are read here. */
function parseShort(text: string): Decimal | undefined {
  if (text.length > exactDigits) return undefined;
  let units = 0;
  let point = -1;
  for (let place = 0; place < text.length; place++) {
    const code = text.charCodeAt(place);
    if (code >= 0x30 && code <= 0x39) units = units * 10 + code - 0x30;
    else if (code === 0x2e /* . */ && point === -1 && place > 0) point = place;
    else return undefined;
  }
  const scale = point === -1 ? 0 : text.length - point - 1;
  return text === "" || (point !== -1 && scale === 0) ? undefined : { units: BigInt(units), scale };
}

/** Reads a decimal such as `-12.50`. @throws {RangeError} it is none. */
export function parseDecimal(text: string): Decimal {
  return parseShort(text) ?? parseAny(text);
}

function parseAny(text: string): Decimal {
  if (!/^-?\d+(?:\.\d+)?$/.test(text)) throw new RangeError("not a decimal number");
  const point = text.indexOf(".");
  if (point === -1) return { units: wholeOf(text), scale: 0 };
  // The sign stays in front of all digits.
  return { units: wholeOf(text.slice(0, point) + text.slice(point + 1)), scale: text.length - point - 1 };
}

/** Writes a decimal without zeros at its end, as `12.5`. */
export function formatDecimal({ units, scale }: Decimal): string {
  return units < 0n ? `-${formatDigits(digitsOf(-units), scale)}` : formatDigits(digitsOf(units), scale);
}

/** The same of a whole number that is not negative, and written without an exponent. */
export function formatDigits(whole: string, scale: number): string {
  const digits = whole.padStart(scale + 1, "0");
  const point = digits.length - scale;
  let end = digits.length;
  while (end > point && digits.charCodeAt(end - 1) === 0x30) end--;
  const units = digits.slice(0, point);
  return end > point ? `${units}.${digits.slice(point, end)}` : units;
}

/** The same amount with more digits after the point. */
export const rescale = ({ units, scale }: Decimal, to: number): Decimal => ({
  units: units * power(to - scale),
  scale: to,
});

/** The sum of decimals, exactly; of none it is `0`. */
export function sum(amounts: readonly string[]): string {
  if (amounts.length === 1 && amounts[0] !== undefined) return amounts[0];
  const parsed = amounts.map(parseDecimal);
  const scale = parsed.reduce((most, each) => Math.max(most, each.scale), 0);
  const units = parsed.reduce((total, each) => total + rescale(each, scale).units, 0n);
  return formatDecimal({ units, scale });
}

/** Digits after the point of the amounts that are reserved and booked, as the tables have them. */
const unitScale = 18;

/** An amount as a whole number of 10^-18; what is finer is rounded up. */
export function toUnits(text: string): bigint {
  const { units, scale } = parseDecimal(text);
  return unitsAt(units, scale);
}

/** `units` divided by ten to the power of `scale`, as a whole number of 10^-18; what is finer is rounded up. */
export function unitsAt(units: bigint, scale: number): bigint {
  if (scale <= unitScale) return units * power(unitScale - scale);
  const divisor = power(scale - unitScale);
  const whole = units / divisor;
  return units > whole * divisor ? whole + 1n : whole;
}

const half = power(unitScale / 2);

/** An amount in units as a decimal. */
export function fromUnits(units: bigint): string {
  // Nearly all have so many zeros at their end.
  const whole = units / half;
  return formatDecimal(
    whole * half === units ? { units: whole, scale: unitScale / 2 } : { units, scale: unitScale },
  );
}

/** The product of two decimals in units, rounded up. */
export function multiply(a: string, b: string): bigint {
  const [x, y] = [parseDecimal(a), parseDecimal(b)];
  return unitsAt(x.units * y.units, x.scale + y.scale);
}
