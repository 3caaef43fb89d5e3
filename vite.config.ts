import { defineConfig } from 'vitest/config';
import { softwareVulkanEnvironment } from './scripts/software-vulkan.mjs';

// Test processes are forked with this environment, so that Dawn finds a driver on any machine.
Object.assign(process.env, softwareVulkanEnvironment());

/** Test projects: unit (fast, no adapter), golden (reference outputs), gpu (serial, software adapter is enough), e2e (real Chromium). */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{packages/*,tools,web,tests}/**/*.test.ts'],
          exclude: ['**/node_modules/**', '**/*.gpu.test.ts', 'tests/golden/**'],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'golden',
          include: ['tests/golden/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 120_000,
        },
      },
      {
        test: {
          name: 'gpu',
          include: ['{packages/*,tools,tests}/**/*.gpu.test.ts'],
          fileParallelism: false,
          testTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['tests/e2e/**/*.e2e.ts'],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 420_000,
        },
      },
    ],
  },
});
