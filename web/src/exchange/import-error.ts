/** Why a file could not be imported. The message is for whoever made the file, the code for the page. */
export class ImportError extends Error {
  readonly code: 'not-json' | 'not-chats' | 'bad-field';

  constructor(code: ImportError['code'], message: string) {
    super(message);
    this.name = 'ImportError';
    this.code = code;
  }
}
