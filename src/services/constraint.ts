import type { AppError } from "../errors/app-error.ts";

/** Does `work`, and throws `refusal` where it would break the database's rule of this name. */
export async function breaks<T>(rule: string, refusal: () => AppError, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const broken = error instanceof Error && "constraint_name" in error ? error.constraint_name : undefined;
    throw broken === rule ? refusal() : error;
  }
}
