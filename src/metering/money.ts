/** An exact decimal: `units` divided by ten to the power of `scale`. */
export interface Decimal {
  units: bigint;
  scale: number;
}

const powers = Array.from({ length: 40 }, (_, exponent) => 10n ** BigInt(exponent));
const power = (exponent: number): bigint => powers[exponent] ?? 10n ** BigInt(exponent);

/** Reads a decimal such as `-12.50`. @throws {RangeError} it is none. */
export function parseDecimal(text: string): Decimal {
  const [, sign = "", whole = "", fraction = ""] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === "") throw new RangeError("not a decimal number");
  const units = BigInt(whole + fraction);
  return { units: sign ? -units : units, scale: fraction.length };
}

/** Writes a decimal without zeros at its end, as `12.5`. */
export function formatDecimal({ units, scale }: Decimal): string {
  const negative = units < 0n;
  const digits = (negative ? -units : units).toString().padStart(scale + 1, "0");
  const whole = digits.slice(0, digits.length - scale);
  const fraction = digits.slice(digits.length - scale).replace(/0+$/, "");
  return `${negative ? "-" : ""}${whole}${fraction && `.${fraction}`}`;
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
  const scale = Math.max(0, ...parsed.map((each) => each.scale));
  const units = parsed.reduce((total, each) => total + rescale(each, scale).units, 0n);
  return formatDecimal({ units, scale });
}
