import { isKept, loadedFiles, openModelFiles, opfsStorage, SpeedqError } from '@speedq/runtime';
import type { ModelJob, ModelReply, ModelReport } from './model-report.ts';

/** Works on the models kept on this device: in a worker, because only workers may write there everywhere. */
addEventListener('message', ({ data }: MessageEvent<ModelJob>) => {
  run(data)
    .then((report) => send({ report }))
    .catch((error: unknown) => {
      const { code } = error instanceof SpeedqError ? error : { code: 'internal' };
      send({ problem: { code, message: error instanceof Error ? error.message : String(error) } });
    });
});

function send(reply: ModelReply): void {
  postMessage(reply);
}

async function run(job: ModelJob): Promise<ModelReport> {
  const { url } = job;
  const storage = await opfsStorage(url);
  if (job.kind === 'remove') {
    await storage?.keepOnly(new Set());
    return { kept: false };
  }
  const onlyKept = (): Promise<Response> => Promise.reject(new Error('not asked'));
  const progress = (loaded: number, total: number): void => send({ progress: loaded / total });
  const files = await openModelFiles(url, {
    storage,
    // What is kept is looked at without asking the server.
    fetch: job.kind === 'import' ? fromFolder(url, job.files) : job.online ? undefined : onlyKept,
    onProgress: ({ loaded, total }) => progress(loaded, total),
  });
  const wanted = loadedFiles(files.manifest);
  if (job.kind !== 'describe') {
    files.expect(wanted.map(({ name }) => name));
    // Each is compared with its SHA-256 as it is read.
    for (const { name } of wanted) await files.read(name).catch(job.kind === 'verify' ? damaged : undefined);
    if (job.kind === 'import') await files.finish();
  }
  const { tileSize, minTiles, maxTiles } = files.manifest.tiling;
  return {
    name: files.manifest.name,
    bytes: wanted.reduce((sum, { bytes }) => sum + bytes, 0),
    files: wanted.length,
    kept: storage !== undefined && (await isKept(storage)),
    tiling: { tileSize, minTiles, maxTiles },
  };
}

/** What is kept and not as it should be would be fetched anew; here nothing is fetched. */
function damaged(cause: unknown): never {
  throw new SpeedqError(
    'checksum-mismatch',
    'A file of this model is missing or damaged on this device. Delete the model and download it again.',
    { cause },
  );
}

/** Answers from the files a person chose, as a server would. */
function fromFolder(url: string, files: readonly File[]): (address: string) => Promise<Response> {
  const base = url.endsWith('/') ? url : `${url}/`;
  const byName = new Map(files.map((file) => [file.name, file]));
  return (address) => {
    const file = byName.get(decodeURIComponent(address.slice(base.length)));
    return Promise.resolve(
      file
        ? new Response(file, { headers: { 'content-length': String(file.size) } })
        : new Response(null, { status: 404, statusText: 'not in the folder' }),
    );
  };
}
