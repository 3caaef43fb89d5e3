import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { tmpdir } from 'node:os';
import { findBrowser } from './find-browser.mjs';

/**
 * Environment that lets Dawn in Node use the software Vulkan driver (SwiftShader) and the Vulkan
 * loader that come with Chromium. Empty where a driver was chosen already (VK_DRIVER_FILES,
 * VK_ICD_FILENAMES), where there is a graphics card, or where no Chromium is found. The loader's path is
 * read at process start: it reaches child processes only.
 */
export function softwareVulkanEnvironment() {
  if (process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES) return {};
  if (existsSync('/dev/dri/renderD128') || existsSync('/dev/nvidia0')) return {};
  const browser = findBrowser();
  const folders = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];
  if (browser) folders.push(dirname(browser));
  const folder = folders.find((path) => existsSync(`${path}/vk_swiftshader_icd.json`));
  if (!folder) return {};
  return {
    VK_ICD_FILENAMES: `${folder}/vk_swiftshader_icd.json`,
    LD_LIBRARY_PATH: [process.env.LD_LIBRARY_PATH, folder].filter(Boolean).join(':'),
    XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir(),
  };
}
