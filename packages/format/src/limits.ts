/** Named bounds on what is read from files nobody vouches for, each with its reason. */

/** Header of one safetensors file. 65,536 tensors at some 200 bytes of header each. */
export const MAX_HEADER_BYTES = 16 * 1024 * 1024;

/** Tensors of one safetensors file or one manifest; InternVL3 has fewer than 800. */
export const MAX_TENSORS = 65_536;

/** Dimensions of a tensor; a patch embedding has 4. */
export const MAX_RANK = 8;

/** A shard is held whole on the heap while it is hashed (WebCrypto's SHA-256 is not incremental). */
export const MAX_SHARD_BYTES = 32 * 1024 * 1024;

/** manifest.json is parsed before anything is verified; that of InternVL3-1B has 300 kB. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;

/** Nesting of any JSON file; what is read here has at most 6 levels, templates of other tools a few more. */
export const MAX_JSON_DEPTH = 64;

/** Files of a packed model: 4,096 shards of 32 MiB are 128 GiB. */
export const MAX_FILES = 4_096;

/** Shard data starts at a multiple of this: WebGPU's default storage buffer offset alignment. */
export const DATA_ALIGNMENT = 256;

/** Columns that share a scale: a whole row of the widest linear of a released model has 8,960. */
export const MAX_GROUP_SIZE = 65_536;
