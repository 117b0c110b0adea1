import { ValidateError } from "../errors/app-error.ts";
import type { CompletionGateway, CompletionStream } from "../gateway/completion.ts";
import { echoModel } from "../providers/echo.ts";
import type { ChatAnswer, ChatMessage } from "../providers/provider.ts";

/** What the model is told before every question. */
const systemPrompt =
  "你是 Kimi，由 Moonshot AI 提供的人工智能助手，你更擅长中文和英文的对话。你会为用户提供安全，有帮助，准确的回答。" +
  "同时，你会拒绝一切涉及恐怖主义，种族歧视，黄色暴力等问题的回答。Moonshot AI 为专有名词，不可翻译成其他语言。";

/** How freely the model answers; a model that takes no temperature is not sent one. */
const temperature = 0.6;

/** A question to the default model, or to one of the configured ones by name. */
export interface Question {
  query: string;
  model?: string;
}

/** Answers single questions, without an app. */
export type CompletionService = ReturnType<typeof createCompletionService>;

export interface CompletionOptions {
  gateway: CompletionGateway;
  /** What a caller may name beside `echo`. */
  models: readonly string[];
  /** Asked where the caller names none; `undefined` is the configured list in its order. */
  defaultModel: string | undefined;
}

/** Creates the service over a gateway. */
export function createCompletionService({ gateway, models, defaultModel }: CompletionOptions) {
  const toRequest = ({ query, model = defaultModel }: Question) => {
    if (model !== undefined && model !== echoModel && !models.includes(model)) {
      const allowed = [...models, echoModel].join(", ");
      throw new ValidateError({ model: [{ key: "validate.model", params: { models: allowed } }] });
    }
    const messages: ChatMessage[] = [
      { role: "system", content: systemPrompt },
      { role: "user", content: query },
    ];
    return { ...(model !== undefined && { model }), messages, parameters: { temperature } };
  };

  return {
    /**
     * The whole answer.
     * @throws {ValidateError} a model that may not be named. @throws {UpstreamError} no answer, and why.
     */
    complete: async (question: Question, options: { signal: AbortSignal }): Promise<ChatAnswer> =>
      gateway.complete(toRequest(question), options),

    /** The answer piece by piece; resolves once the first piece is there, so that what fails earlier throws as above. */
    stream: async (question: Question, options: { signal: AbortSignal }): Promise<CompletionStream> =>
      gateway.stream(toRequest(question), options),
  };
}
