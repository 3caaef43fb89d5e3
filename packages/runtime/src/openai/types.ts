/** The part of OpenAI's chat completions that a local vision-language model can honour; names as there. */

export interface ChatCompletionCreateParams {
  /** A name from the client's `models`, or the address of a packed model's folder. */
  readonly model: string;
  readonly messages: readonly ChatCompletionMessageParam[];
  readonly stream?: boolean | null;
  readonly stream_options?: { readonly include_usage?: boolean } | null;
  readonly max_completion_tokens?: number | null;
  /** The older name of `max_completion_tokens`. */
  readonly max_tokens?: number | null;
  /** Absent: 0, the most probable token always. (OpenAI's own default is 1.) */
  readonly temperature?: number | null;
  readonly top_p?: number | null;
  readonly seed?: number | null;
  readonly stop?: string | readonly string[] | null;
  readonly logprobs?: boolean | null;
  readonly top_logprobs?: number | null;
  readonly response_format?: ResponseFormat | null;
  /** One answer a request. */
  readonly n?: 1 | null;
}

export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema';
      readonly json_schema: {
        readonly name: string;
        readonly description?: string;
        readonly schema?: Record<string, unknown>;
        readonly strict?: boolean | null;
      };
    };

export type ChatCompletionMessageParam =
  | {
      readonly role: 'system' | 'developer' | 'assistant';
      readonly content: string | readonly ChatCompletionContentPartText[];
    }
  | { readonly role: 'user'; readonly content: string | readonly ChatCompletionContentPart[] };

export interface ChatCompletionContentPartText {
  readonly type: 'text';
  readonly text: string;
}

export type ChatCompletionContentPart =
  | ChatCompletionContentPartText
  | {
      readonly type: 'image_url';
      /** A data: address, or (not in OpenAI's API) the picture itself. `detail` changes nothing. */
      readonly image_url: { readonly url: string | Blob; readonly detail?: 'auto' | 'low' | 'high' };
    };

export interface ChatCompletion {
  readonly id: string;
  readonly object: 'chat.completion';
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly choices: readonly [
    {
      readonly index: 0;
      readonly message: { readonly role: 'assistant'; readonly content: string; readonly refusal: null };
      readonly logprobs: ChoiceLogprobs | null;
      readonly finish_reason: 'stop' | 'length';
    },
  ];
  readonly usage: CompletionUsage;
}

export interface ChatCompletionChunk {
  readonly id: string;
  readonly object: 'chat.completion.chunk';
  readonly created: number;
  readonly model: string;
  /** None in the last chunk where `include_usage` was asked for. */
  readonly choices: readonly {
    readonly index: 0;
    readonly delta: { readonly role?: 'assistant'; readonly content?: string };
    readonly logprobs: ChoiceLogprobs | null;
    readonly finish_reason: 'stop' | 'length' | null;
  }[];
  readonly usage?: CompletionUsage | null;
}

export interface ChoiceLogprobs {
  readonly content: readonly TokenLogprob[];
  readonly refusal: null;
}

export interface TokenLogprob {
  readonly token: string;
  readonly logprob: number;
  /** UTF-8. */
  readonly bytes: readonly number[];
  readonly top_logprobs: readonly {
    readonly token: string;
    readonly logprob: number;
    readonly bytes: readonly number[];
  }[];
}

export interface CompletionUsage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}
