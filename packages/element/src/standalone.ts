/** For a script tag: everything beside this file, and worker addresses that Trusted Types accept. */
import { SpeedqChat } from './index.ts';

interface TrustedTypes {
  createPolicy(
    name: string,
    rules: { createScriptURL(address: string): string },
  ): { createScriptURL(address: string): string };
}

const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
const own = new URL('.', import.meta.url);

/** Scripts of this folder, nothing else. A page with Trusted Types allows the policy by its name. */
const policy = trustedTypes?.createPolicy('speedq-element', {
  createScriptURL(address) {
    if (!address.startsWith(own.href)) throw new TypeError(`Not a script of this element: ${address}`);
    return address;
  },
});

SpeedqChat.createWorker = () => {
  const address = new URL('engine-worker.js', own).href;
  return new Worker(policy?.createScriptURL(address) ?? address, { type: 'module', name: 'speedq' });
};

export * from './index.ts';
