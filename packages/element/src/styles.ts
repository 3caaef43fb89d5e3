/** Every colour and size that a page may want to choose is a custom property; every piece is a part. */
const CSS = `
:host {
  --_accent: var(--speedq-accent, #2456c6);
  --_on-accent: var(--speedq-on-accent, #fff);
  --_background: var(--speedq-background, Canvas);
  --_text: var(--speedq-text, CanvasText);
  --_muted: var(--speedq-muted, color-mix(in srgb, var(--_text) 70%, var(--_background)));
  --_surface: var(--speedq-surface, color-mix(in srgb, var(--_text) 7%, var(--_background)));
  --_border: var(--speedq-border, color-mix(in srgb, var(--_text) 22%, var(--_background)));
  --_radius: var(--speedq-radius, 12px);
  --_space: var(--speedq-space, 12px);
  display: block;
  color-scheme: inherit;
  container-type: inline-size;
  contain: layout style;
  block-size: var(--speedq-height, 26rem);
  font: var(--speedq-font, inherit);
  color: var(--_text);
}
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.frame {
  display: flex; flex-direction: column; block-size: 100%; overflow: hidden;
  border: 1px solid var(--_border); border-radius: var(--_radius); background: var(--_background);
}
.chat { flex: 1; min-block-size: 0; display: flex; flex-direction: column; }
.before {
  flex: 1; display: flex; flex-direction: column; gap: var(--_space); align-items: center; justify-content: center;
  padding: calc(var(--_space) * 2); text-align: center; overflow: auto;
}
.poster { max-inline-size: 100%; max-block-size: 55%; border-radius: calc(var(--_radius) / 2); object-fit: contain; }
.note { margin: 0; max-inline-size: 34em; color: var(--_muted); font-size: 0.875em; }
progress { inline-size: min(100%, 20rem); accent-color: var(--_accent); }
.error { margin: 0; max-inline-size: 40em; overflow-wrap: anywhere; }
.log { flex: 1; overflow: auto; overscroll-behavior: contain; padding: var(--_space); display: flex; flex-direction: column; gap: var(--_space); }
.log:focus-visible, button:focus-visible, textarea:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.message { align-self: start; max-inline-size: 85%; padding: 0.6em 0.9em; border-radius: var(--_radius); background: var(--_surface); overflow-wrap: anywhere; --markdown-code: var(--_border); --markdown-block: var(--_background); --markdown-line: var(--_border); --markdown-soft: var(--_muted); --markdown-radius: calc(var(--_radius) / 2); }
.message.question { white-space: pre-wrap; align-self: end; background: var(--_accent); color: var(--_on-accent); }
.message img { display: block; max-inline-size: 100%; max-block-size: 12rem; margin-block-end: 0.4em; border-radius: calc(var(--_radius) / 2); }
.name { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
::slotted([slot=header]), ::slotted([slot=footer]) { padding-inline: var(--_space); }
form { display: flex; flex-wrap: wrap; gap: 8px; padding: var(--_space); border-block-start: 1px solid var(--_border); align-items: end; }
.attached { inline-size: 100%; display: flex; flex-wrap: wrap; gap: 8px; }
.attached button { padding: 0; border-radius: 8px; overflow: hidden; line-height: 0; }
.attached img { block-size: 3.5rem; }
textarea { flex: 1; min-inline-size: 8rem; resize: none; font: inherit; color: inherit; background: var(--_background); border: 1px solid var(--_border); border-radius: calc(var(--_radius) / 2); padding: 0.55em 0.7em; field-sizing: content; max-block-size: 8em; }
button { font: inherit; min-block-size: 2.75em; padding: 0.4em 1em; border: 1px solid var(--_border); border-radius: calc(var(--_radius) / 2); background: var(--_surface); color: inherit; cursor: pointer; }
button.primary { background: var(--_accent); color: var(--_on-accent); border-color: transparent; }
button:disabled { cursor: default; opacity: 0.6; }
@container (max-width: 28rem) {
  .message { max-inline-size: 95%; }
  textarea { order: -1; flex-basis: 100%; }
  form { justify-content: space-between; }
}
`;

let sheet: CSSStyleSheet | undefined;

/** One sheet for all elements of a page. */
export function styleSheet(): CSSStyleSheet {
  if (!sheet) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  return sheet;
}
