import { ChatEngine } from '../engine.ts';
import { inProcessEngine } from '../in-process.ts';
import { LanguageModel } from '../language-model.ts';
import type { Availability } from '../language-model-options.ts';
import type { LanguageModelPlatform } from '../platform.ts';
import type { EngineInfo, ProgressMessage } from '../protocol.ts';
import { fakeCodec, FakeModel } from './fake-model.ts';

export interface FakeOptions {
  readonly maxContext?: number;
  readonly answerLength?: number;
  readonly availability?: Availability;
  /** What `open` reports, in order. */
  readonly progress?: readonly { readonly loaded: number; readonly total: number }[];
  /** `open` waits for it. */
  readonly opening?: Promise<unknown>;
}

let addresses = 0;

/** The class under test, with the real protocol, host and conversations over a fake model, without a worker. */
export function fakeLanguageModel(options: FakeOptions = {}): {
  readonly Model: typeof LanguageModel;
  /** Of its own, so that no test meets the engine of another. */
  readonly model: string;
  readonly engines: FakeModel[];
} {
  const engines: FakeModel[] = [];
  const platform: LanguageModelPlatform = {
    modelOf: ({ model }) => ({ url: model as string }),
    availability: () => Promise.resolve(options.availability ?? 'downloadable'),
    startEngine: () =>
      inProcessEngine(async (_request, onProgress) => {
        for (const progress of options.progress ?? []) {
          onProgress({ ...progress, source: 'network' } as ProgressMessage);
        }
        await options.opening;
        const fake = new FakeModel(options);
        engines.push(fake);
        const engine = new ChatEngine(fake, fakeCodec);
        const picture = { tiles: 1, pixels: Float32Array.of(9), key: 'picture' };
        return {
          engine,
          info: { contextWindow: engine.contextWindow } as EngineInfo,
          lost: new Promise<never>(() => {}),
          readPicture: () => Promise.resolve(picture),
          readFrame: () => Promise.resolve(picture),
        };
      }),
  };
  class Model extends LanguageModel {
    protected static override readonly platform = platform;
  }
  return { Model, model: `fake-${addresses++}`, engines };
}
