import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OrreryError } from '../base/index.ts';
import { checkFile } from './check-file.ts';
import { checkWhole } from './check-whole.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'orrery-media-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function file(name: string, ...parts: (string | readonly number[])[]): Promise<string> {
  const path = join(folder, name);
  await writeFile(
    path,
    Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part)))),
  );
  return path;
}

async function messageOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    expect(error).toBeInstanceOf(OrreryError);
    expect((error as OrreryError).code).toBe('data');
    return (error as Error).message;
  }
  throw new Error('no error was thrown');
}

describe('checkFile', () => {
  it('tells formats by content, not by name', async () => {
    expect(await checkFile(await file('a.txt', [0, 0, 0, 16], 'ftypisom', [0, 0, 2, 0]))).toMatchObject({
      container: 'mp4',
      demuxer: 'mov',
    });
    expect(await checkFile(await file('b.mp4', [0xff, 0xd8, 0xff, 0xe0]))).toMatchObject({
      kind: 'image',
      container: 'jpeg',
    });
    expect(await checkFile(await file('c', [0x1a, 0x45, 0xdf, 0xa3], '......B.webm'))).toMatchObject({
      container: 'webm',
    });
    expect(await checkFile(await file('d', 'RIFF1234AVI '))).toMatchObject({ demuxer: 'avi' });
  });

  it('explains everything else', async () => {
    expect(await messageOf(checkFile(await file('text.mp4', 'hello there, not a video')))).toMatch(
      /text\.mp4": text, beginning with "hello there, not a video"; need a video \(MP4.*; give another file/,
    );
    expect(await messageOf(checkFile(await file('empty.mp4')))).toContain('the file is empty (0 bytes)');
    expect(await messageOf(checkFile(folder))).toContain('a directory; need one file');
    expect(await messageOf(checkFile(join(folder, 'gone.mp4')))).toContain('no such file');
    expect(await messageOf(checkFile(join(folder, 'text.mp4', 'x.mp4')))).toContain('no such file');
    expect(await messageOf(checkFile(await file('play.mp4', '#EXTM3U\nhttp://example.com/a.ts')))).toContain(
      'a playlist',
    );
    expect(await messageOf(checkFile(await file('draw.png', '<svg xmlns="a"/>')))).toContain('an SVG drawing');
    expect(await messageOf(checkFile(await file('sound.mp4', 'ID3', [4, 0])))).toContain('a sound file (mp3)');
    expect(await messageOf(checkFile(await file('noise', [1, 2, 3, 200])))).toContain(
      'beginning with bytes 01 02 03 c8',
    );
    expect(await messageOf(checkFile('a\0b.mp4'))).toContain('cannot be opened');
  });

  it('never throws anything but its own error, whatever the bytes', async () => {
    let index = 0;
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (bytes) => {
        const path = await file(`fuzz-${index++}`, [...bytes]);
        try {
          await checkWhole(await checkFile(path));
        } catch (error) {
          expect(error).toBeInstanceOf(OrreryError);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('checkWhole', () => {
  const ftyp = ([0, 0, 0, 16] as number[]).concat([...Buffer.from('ftypisom')], [0, 0, 2, 0]);

  it('finds a missing index and a cut end', async () => {
    const noIndex = await checkFile(await file('1.mp4', ftyp, [0, 0, 0, 12], 'mdat1234'));
    expect(await checkWhole(noIndex)).toEqual({ hasIndex: false, problem: 'its index (the "moov" box) is missing' });
    const cut = await checkFile(await file('2.mp4', ftyp, [0, 0, 0, 8], 'moov', [0, 0, 1, 0], 'mdat1234'));
    expect(await checkWhole(cut)).toEqual({
      hasIndex: true,
      problem: 'cut off: 244 of the 256 bytes of its "mdat" box are missing',
    });
    const whole = await checkFile(await file('3.mp4', ftyp, [0, 0, 0, 8], 'moov', [0, 0, 0, 12], 'mdat1234'));
    expect(await checkWhole(whole)).toEqual({ hasIndex: true });
  });

  it('compares the stated size of a Matroska segment', async () => {
    const head = [0x1a, 0x45, 0xdf, 0xa3, 0x84, 1, 2, 3, 4, 0x18, 0x53, 0x80, 0x67];
    const cut = await checkFile(await file('4.mkv', head, [0x8a], '123'));
    expect((await checkWhole(cut)).problem).toBe('cut off: 7 bytes are missing at the end');
    expect(await checkWhole(await checkFile(await file('5.mkv', head, [0xff], '123')))).toEqual({ hasIndex: true });
  });
});
