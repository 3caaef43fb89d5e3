/** Speed of a download over its last seconds: what a person needs to decide whether to wait. */
export class DownloadRate {
  private readonly samples: { readonly at: number; readonly bytes: number }[] = [];

  /** `at` in milliseconds, `bytes` so far. */
  add(at: number, bytes: number): void {
    const last = this.samples.at(-1);
    // Progress that goes back belongs to another download.
    if (last && bytes < last.bytes) this.samples.length = 0;
    this.samples.push({ at, bytes });
    while (this.samples.length > 2 && at - this.samples[0].at > WINDOW_MILLISECONDS) this.samples.shift();
  }

  /** Undefined until enough time has passed to tell. */
  get bytesPerSecond(): number | undefined {
    const [first] = this.samples;
    const last = this.samples.at(-1);
    if (!first || !last || last.at - first.at < SHORTEST_MILLISECONDS) return undefined;
    return ((last.bytes - first.bytes) / (last.at - first.at)) * 1000;
  }

  secondsLeft(total: number): number | undefined {
    const rate = this.bytesPerSecond;
    const last = this.samples.at(-1);
    return rate && last ? Math.max(0, (total - last.bytes) / rate) : undefined;
  }
}

const WINDOW_MILLISECONDS = 8000;
const SHORTEST_MILLISECONDS = 400;
