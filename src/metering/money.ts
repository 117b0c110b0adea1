/** An exact decimal: `units` divided by ten to the power of `scale`. */
export interface Decimal {
  units: bigint;
  scale: number;
}

const powers = Array.from({ length: 40 }, (_, exponent) => 10n ** BigInt(exponent));
const power = (exponent: number): bigint => powers[exponent] ?? 10n ** BigInt(exponent);

/** Reads a decimal such as `-12.50`. @throws {RangeError} it is none. */
export function parseDecimal(text: string): Decimal {
  if (!/^-?\d+(?:\.\d+)?$/.test(text)) throw new RangeError("not a decimal number");
  const point = text.indexOf(".");
  if (point === -1) return { units: BigInt(text), scale: 0 };
  // The sign stays in front of all digits.
  return { units: BigInt(text.slice(0, point) + text.slice(point + 1)), scale: text.length - point - 1 };
}

/** Writes a decimal without zeros at its end, as `12.5`. */
export function formatDecimal({ units, scale }: Decimal): string {
  const negative = units < 0n;
  const digits = (negative ? -units : units).toString().padStart(scale + 1, "0");
  const point = digits.length - scale;
  let end = digits.length;
  while (end > point && digits[end - 1] === "0") end--;
  return `${negative ? "-" : ""}${digits.slice(0, point)}${end > point ? `.${digits.slice(point, end)}` : ""}`;
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

/** An amount in units as a decimal. */
export const fromUnits = (units: bigint): string => formatDecimal({ units, scale: unitScale });

/** The product of two decimals in units, rounded up. */
export function multiply(a: string, b: string): bigint {
  const [x, y] = [parseDecimal(a), parseDecimal(b)];
  return unitsAt(x.units * y.units, x.scale + y.scale);
}
