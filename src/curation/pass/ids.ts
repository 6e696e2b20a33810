// Deterministic names: UUID version 5 (RFC 9562) in the URL name space, as the published pipeline forms them.
import { createHash } from 'node:crypto';

const URL_SPACE = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex');

/** UUIDv5 of a text in the URL name space. */
export function uuid5(text: string): string {
  const hash = createHash('sha1').update(URL_SPACE).update(text, 'utf8').digest();
  hash[6] = (hash[6]! & 0x0f) | 0x50;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  const hex = hash.toString('hex', 0, 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A number as Python prints a float: `10.0`, `0.5`. */
export const pythonFloat = (value: number): string => (Number.isInteger(value) ? value.toFixed(1) : String(value));

/** Id of a clip from fixed stride: the session (or video) and its nominal times. */
export const fixedClipId = (session: string, start: number, end: number): string =>
  uuid5(`${session}_${pythonFloat(start)}_${pythonFloat(end)}`);

/** Id of a clip from shots: the video and its frame numbers. */
export const shotClipId = (path: string, start: number, end: number): string => uuid5(`${path}_${start}_${end}`);
