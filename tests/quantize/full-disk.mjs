/**
 * Loaded through NODE_OPTIONS, worker threads included, makes the disk full, on Linux: with SPEEDQ_FULL_DISK=name:bytes
 * a checkpoint file of that name can be written so far and no further.
 */
import fs from 'node:fs';
import { open } from 'node:fs/promises';

const [name, room] = process.env.SPEEDQ_FULL_DISK.split(':');

const handle = await open(process.execPath);
const prototype = Object.getPrototypeOf(handle);
await handle.close();

const { writeFile, stat } = prototype;
prototype.writeFile = async function (data, ...rest) {
  const path = fs.readlinkSync(`/proc/self/fd/${this.fd}`);
  const left = Number(room) - (await stat.call(this)).size;
  if (!path.endsWith(`/${name}.safetensors.partial`) || data.length <= left) {
    return writeFile.call(this, data, ...rest);
  }
  await writeFile.call(this, data.subarray(0, Math.max(0, left)), ...rest);
  throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
};
