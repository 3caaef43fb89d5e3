import {
  checkRoom,
  claimModel,
  isKept,
  loadedFiles,
  localSource,
  openModelFiles,
  opfsStorage,
  SpeedqError,
} from '@speedq/runtime';
import type { ModelStorage } from '@speedq/runtime';
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
  const { kind, url } = job;
  const storage = await opfsStorage(url);
  if (kind === 'describe') return await work(job, storage);
  const claim = await claimModel(url, { mode: kind === 'verify' ? 'shared' : 'exclusive' });
  try {
    return await work(job, storage);
  } finally {
    claim.release();
  }
}

async function work(job: ModelJob, storage: ModelStorage | undefined): Promise<ModelReport> {
  if (job.kind === 'remove') {
    for (const name of (await storage?.names()) ?? []) await storage?.remove(name);
    return { kept: false };
  }
  const onlyKept = (): Promise<Response> => Promise.reject(new Error('not asked'));
  const files = await openModelFiles(job.kind === 'import' ? await localSource(job.files) : job.url, {
    storage,
    // What is kept is looked at without asking the server.
    fetch: job.kind === 'describe' && job.online ? undefined : onlyKept,
    retry: job.kind === 'describe' && job.online ? undefined : { attempts: 1 },
    onProgress: ({ loaded, total }) => send({ progress: loaded / total }),
  });
  const wanted = loadedFiles(files.manifest);
  if (job.kind !== 'describe') {
    files.expect(wanted.map(({ name }) => name));
    if (job.kind === 'import') await checkRoom(files.manifest.name, await files.missingBytes());
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
