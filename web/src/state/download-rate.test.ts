import { expect, it } from 'vitest';
import { DownloadRate } from './download-rate.ts';

it('says nothing before it can tell', () => {
  const rate = new DownloadRate();
  expect(rate.bytesPerSecond).toBeUndefined();
  rate.add(0, 0);
  rate.add(100, 1000);
  expect(rate.bytesPerSecond).toBeUndefined();
  expect(rate.secondsLeft(10)).toBeUndefined();
});

it('is that of the last seconds', () => {
  const rate = new DownloadRate();
  rate.add(0, 0);
  for (let second = 1; second <= 20; second++)
    rate.add(second * 1000, second <= 10 ? 0 : (second - 10) * 500);
  expect(rate.bytesPerSecond).toBe(500);
  expect(rate.secondsLeft(6000)).toBe(2);
  expect(rate.secondsLeft(1)).toBe(0);
});

it('begins again with another download', () => {
  const rate = new DownloadRate();
  rate.add(0, 0);
  rate.add(1000, 9000);
  rate.add(2000, 100);
  expect(rate.bytesPerSecond).toBeUndefined();
});
