import * as Comlink from 'comlink';
import type { EngineEndpoint } from './engine-client.ts';
import { EngineHost } from './engine-host.ts';
import type { OpenEngine } from './engine-host.ts';
import { installErrorTransfer } from './protocol.ts';

/** An engine beside its client, with the messages that go to and from a worker: for Node, where Dawn has threads. */
export function inProcessEngine(openEngine: OpenEngine): EngineEndpoint {
  installErrorTransfer();
  const { port1, port2 } = new MessageChannel();
  const host = new EngineHost(openEngine);
  Comlink.expose(host, port2);
  return {
    postMessage: (message, transfer) => port1.postMessage(message, transfer ?? []),
    addEventListener: port1.addEventListener.bind(port1),
    removeEventListener: port1.removeEventListener.bind(port1),
    start: () => port1.start(),
    terminate() {
      host.close();
      port1.close();
      port2.close();
    },
  };
}
