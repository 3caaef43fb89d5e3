import { expect, test } from 'vitest';
import { Optimizer } from './optimizer.ts';

const SETTINGS = {
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.1,
  learningRate: 0.01,
  clipNorm: 0,
};

test('AdamW decays matrices, not vectors, and moves by the rate at first', () => {
  const optimizer = new Optimizer([
    { name: 'matrix', shape: [1, 2], data: Float32Array.of(1, -2) },
    { name: 'vector', shape: [2], data: Float32Array.of(1, -2) },
  ]);
  const gradient = Float32Array.of(3, -0.5);
  const norm = optimizer.update(
    new Map([
      ['matrix', gradient],
      ['vector', gradient],
    ]),
    SETTINGS,
  );
  expect(norm).toBeCloseTo(Math.sqrt(2 * (9 + 0.25)), 6);
  const views = optimizer.views();
  // The first bias-corrected step is the sign of the gradient.
  expect([...views.get('vector')!]).toEqual([0.99, -1.99].map(Math.fround).map((x) => expect.closeTo(x, 6)));
  expect([...views.get('matrix')!]).toEqual([0.989, -1.988].map((x) => expect.closeTo(x, 6)));
});

test('a parameter without a gradient stays, and what is restored goes on alike', () => {
  const start = () =>
    new Optimizer([
      { name: 'a', shape: [2, 1], data: Float32Array.of(0.5, 0.25) },
      { name: 'b', shape: [1], data: Float32Array.of(7) },
    ]);
  const gradients = (i: number) => new Map([['a', Float32Array.of(Math.sin(i), Math.cos(i))]]);
  const settings = { ...SETTINGS, clipNorm: 0.5 };
  const whole = start();
  for (let i = 0; i < 6; i++) whole.update(gradients(i), settings);
  const first = start();
  for (let i = 0; i < 3; i++) first.update(gradients(i), settings);
  const second = start();
  second.restore({ metadata: {}, tensors: first.state() }, 3);
  for (let i = 3; i < 6; i++) second.update(gradients(i), settings);
  expect(second.views()).toEqual(whole.views());
  expect([...second.views().get('b')!]).toEqual([7]);
});

test('a gradient that is not a number changes nothing', () => {
  const optimizer = new Optimizer([{ name: 'a', shape: [2], data: Float32Array.of(1, 2) }]);
  const norm = optimizer.update(new Map([['a', Float32Array.of(NaN, 1)]]), SETTINGS);
  expect(norm).toBeNaN();
  expect([...optimizer.views().get('a')!]).toEqual([1, 2]);
  expect(optimizer.steps).toBe(0);
});
