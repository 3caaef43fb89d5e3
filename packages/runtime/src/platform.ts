import type { EngineEndpoint } from './engine-client.ts';
import type { Availability } from './language-model-options.ts';
import type { ModelOption } from './model-option.ts';
import type { OpenRequest } from './protocol.ts';

export type OpenedModel = Pick<OpenRequest, 'url' | 'files' | 'storage' | 'engine'>;

/** What `LanguageModel` needs of where it runs. */
export interface LanguageModelPlatform {
  startEngine(): EngineEndpoint;
  /** Equal models have equal `url`s. @throws {SpeedqError} `invalid-argument`. */
  modelOf(option: ModelOption): OpenedModel;
  availability(model: OpenedModel): Promise<Availability>;
  /** A model is about to be kept on the device. */
  willKeep?(): void;
}
