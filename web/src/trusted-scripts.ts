/**
 * The page's only Trusted Types policy (see the Content-Security-Policy): scripts for workers come from
 * this origin and nowhere else.
 */
const policy = window.trustedTypes?.createPolicy('speedq', { createScriptURL: ownScript });

/**
 * A script address for `new Worker` and `register`.
 * @throws TypeError for an address of another origin.
 */
export function scriptUrl(address: string): string {
  // The DOM's types take a string; browsers with Trusted Types want the wrapped one.
  return policy ? (policy.createScriptURL(address) as unknown as string) : ownScript(address);
}

function ownScript(address: string): string {
  const url = new URL(address, document.baseURI);
  if (url.origin !== location.origin) throw new TypeError(`Not a script of this page: ${url.href}`);
  return url.href;
}
