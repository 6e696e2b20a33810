// Data sets of other people as lists of videos: LeRobot, the public Cosmos layout (videos/, metas/ or captions/, text embeddings), and
// robot recordings with annotations. Finds files and reads what is said about them; decodes nothing.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { isLerobot, lerobotActions, openLerobot } from '../../formats/index.ts';
import { actionBetween } from '../../worlds/index.ts';

/** One video of a data set, or a part of one. */
export type SourceVideo = {
  /** Unique within its data set. */
  readonly name: string;
  readonly path: string;
  /** Seconds; absent: the whole file. */
  readonly part?: { readonly start: number; readonly end: number };
  readonly captions: readonly string[];
  /** File of ready text features. */
  readonly embedding?: string;
  /** Set where the data set itself says so. */
  readonly split?: 'train' | 'heldout';
  /** What a robot did: row k leads from frame k to frame k + 1. Read when asked for. */
  readonly actions?: () => Promise<readonly (readonly number[])[] | undefined>;
};

/** Videos of a data set and their rate, where one is known for all. */
export type Source = { readonly fps?: number; readonly videos: readonly SourceVideo[] };

type SourceKind = 'lerobot' | 'videos' | 'annotations';

/** Which of these layouts a folder has; undefined for others. */
export function sourceKind(dir: string): SourceKind | undefined {
  if (isLerobot(dir)) return 'lerobot';
  if (existsSync(join(dir, 'annotation')) && existsSync(join(dir, 'videos'))) return 'annotations';
  if (existsSync(join(dir, 'videos'))) return 'videos';
  return undefined;
}

/**
 * The videos of a data set.
 * @param camera feature of a LeRobot set; needed when it has several
 */
export async function openSource(dir: string, camera?: string): Promise<Source> {
  const kind = sourceKind(dir);
  const source =
    kind === 'lerobot'
      ? await lerobot(dir, camera)
      : kind === 'annotations'
        ? annotated(dir)
        : kind === 'videos'
          ? plain(dir)
          : undefined;
  if (source === undefined) {
    throw new OrreryError(
      'data',
      `${dir}: no data set that can be read; need meta/info.json (LeRobot), videos/ with metas/ or captions/, or videos/ with annotation/`,
    );
  }
  if (source.videos.length === 0) throw new OrreryError('data', `${dir}: no videos in it; fetch the data set again`);
  return source;
}

async function lerobot(dir: string, camera: string | undefined): Promise<Source> {
  const set = await openLerobot(dir);
  const key = camera ?? set.cameras[0]!;
  if (!set.cameras.includes(key) || (camera === undefined && set.cameras.length > 1)) {
    throw new OrreryError(
      'data',
      `${dir} has the cameras ${set.cameras.join(', ')}; name one of them in the recipe: "import": {"camera": …}`,
    );
  }
  return {
    fps: set.fps,
    videos: set.episodes.map((episode): SourceVideo => {
      const { file, part } = episode.videos.get(key)!;
      return {
        name: `episode_${String(episode.index).padStart(6, '0')}`,
        path: join(dir, file),
        ...(part === undefined ? {} : { part }),
        captions: [episode.task],
        actions: () => lerobotActions(set, episode),
      };
    }),
  };
}

/** videos/X.mp4 with metas/X.txt (one caption) or captions/X.json ({model: {long, medium, short}}); t5_xxl/X.pickle. */
function plain(dir: string): Source {
  const names = readdirSync(join(dir, 'videos'))
    .filter((n) => /\.(mp4|webm|mkv|mov)$/i.test(n))
    .sort();
  return {
    videos: names.map((file): SourceVideo => {
      const name = file.replace(/\.\w+$/, '');
      const embedding = join(dir, 't5_xxl', `${name}.pickle`);
      return {
        name,
        path: join(dir, 'videos', file),
        captions: captionsOf(dir, name),
        ...(existsSync(embedding) ? { embedding } : {}),
      };
    }),
  };
}

function captionsOf(dir: string, name: string): string[] {
  const text = join(dir, 'metas', `${name}.txt`);
  if (existsSync(text)) return [readFileSync(text, 'utf8').trim()];
  const file = join(dir, 'captions', `${name}.json`);
  if (!existsSync(file)) {
    throw new OrreryError(
      'data',
      `${join(dir, 'videos')}: ${name} has no caption; need metas/${name}.txt or captions/${name}.json, which may be empty`,
    );
  }
  const found: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value === 'string') found.push(value.trim());
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(visit);
  };
  visit(readJson(file));
  return found;
}

function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new OrreryError('data', `${file}: not readable JSON (${(cause as Error).message})`, { cause });
  }
}

type Annotation = {
  readonly state?: readonly (readonly number[])[];
  readonly continuous_gripper_state?: readonly number[];
  readonly texts?: readonly string[];
  readonly language_instruction?: string;
};

/** annotation/{train,val}/X.json with videos/{train,val}/X/rgb.mp4: poses and gripper per frame. */
function annotated(dir: string): Source {
  const videos: SourceVideo[] = [];
  for (const part of readdirSync(join(dir, 'annotation')).sort()) {
    const split = part === 'train' ? 'train' : 'heldout';
    for (const file of readdirSync(join(dir, 'annotation', part)).sort()) {
      if (!file.endsWith('.json')) continue;
      const name = basename(file, '.json');
      const path = join(dir, 'annotation', part, file);
      const annotation = readJson(path) as Annotation;
      videos.push({
        name: `${part}/${name}`,
        path: join(dir, 'videos', part, name, 'rgb.mp4'),
        captions: [annotation.texts?.[0] ?? annotation.language_instruction ?? ''],
        split,
        actions: async () => motions(annotation, path),
      });
    }
  }
  return { videos };
}

/** Rows of pose and gripper → motions between frames, in the frame of the hand before: position, angles, gripper after it. */
function motions({ state, continuous_gripper_state: gripper }: Annotation, file: string): number[][] | undefined {
  if (state === undefined) return undefined;
  if (gripper === undefined || gripper.length !== state.length || state.some((row) => row.length < 6)) {
    throw new OrreryError(
      'data',
      `${file}: need a state of 6 numbers and a continuous_gripper_state for every frame; it has ${state.length} and ${gripper?.length ?? 0}`,
    );
  }
  return state.slice(1).map((now, k) => actionBetween(state[k]!, [...now.slice(0, 6), gripper[k + 1]!]));
}
