/** A provider for the Vercel AI SDK. Only types of it are needed: `@ai-sdk/provider` is an optional peer. */
import type { LanguageModelV3 } from '@ai-sdk/provider';
import { SessionPool } from '../adapters/session-pool.ts';
import type { AdapterOptions } from '../adapters/session-pool.ts';
import { ChatModel } from './chat-model.ts';

export type { AdapterOptions as SpeedqProviderOptions } from '../adapters/session-pool.ts';

export interface SpeedqProvider {
  /** A model by its name in `models`, or by the address of its folder. */
  (model: string): LanguageModelV3;
  languageModel(model: string): LanguageModelV3;
  /** Closes the models that calls have opened. */
  destroy(): void;
}

/** `generateText({ model: createSpeedq()('./models/pico-2bit/'), … })`. */
export function createSpeedq(options: AdapterOptions = {}): SpeedqProvider {
  const pool = new SessionPool(options);
  const languageModel = (model: string): LanguageModelV3 => new ChatModel(model, pool);
  return Object.assign((model: string) => languageModel(model), {
    languageModel,
    destroy: () => pool.destroy(),
  });
}
