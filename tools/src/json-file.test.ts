import { expect, it } from 'vitest';
import { modelConfigText } from './json-file.ts';

it('writes floats of config.json as Python expects them', () => {
  const config = {
    downsample_ratio: 0.5,
    text_config: { rms_norm_eps: 1e-6, rope_theta: 1e6, hidden_size: 64 },
    vision_config: { layer_scale_init_value: 1, note: 'a\n"layer_norm_eps": 1' },
  };
  const text = modelConfigText(config);
  expect(text).toContain('"layer_scale_init_value": 1.0,\n');
  expect(text).toContain('"rope_theta": 1000000.0,\n');
  expect(text).toContain('"hidden_size": 64\n');
  expect(JSON.parse(text)).toEqual(config);
});
