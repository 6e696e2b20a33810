// A caption from measured facts only: what the camera does, how much moves, light, colours, length. It claims nothing that
// was not measured. Clips of simulated or recorded data with task texts start with those.
import type { ClipWork } from '../clip-work.ts';

/** What a caption is made of. */
export type Captioned = Pick<ClipWork, 'quality' | 'motion' | 'seconds' | 'fps' | 'tags'>;

/** The caption. */
export function factsCaption(clip: Captioned): string {
  const { quality: q, motion } = clip;
  const parts: string[] = [];
  const task = clip.tags?.['task'] ?? clip.tags?.['caption'];
  if (typeof task === 'string' && task !== '') parts.push(task.endsWith('.') ? task : `${task}.`);
  parts.push(`A ${clip.seconds.toFixed(1)} second shot${cameraText(clip)}.`);
  if (motion !== undefined) parts.push(movingText(motion.movingShare, motion.movingRegions));
  parts.push(`The picture is ${lightText(q.brightness, q.contrast)}${colourText(q.colours, q.saturation)}.`);
  return parts.filter((p) => p !== '').join(' ');
}

function cameraText({ motion, fps }: Captioned): string {
  if (motion === undefined) return '';
  // Per second, in shares of (width + height).
  const [x, y, zoom] = [motion.camera.x * fps, motion.camera.y * fps, motion.camera.zoom * fps];
  const words: string[] = [];
  const speed = (v: number): string => (Math.abs(v) > 0.15 ? 'quickly ' : Math.abs(v) > 0.05 ? '' : 'slowly ');
  // The picture moves against the camera.
  if (Math.abs(x) > 0.012) words.push(`${speed(x)}pans to the ${x < 0 ? 'right' : 'left'}`);
  if (Math.abs(y) > 0.012) words.push(`${speed(y)}tilts ${y < 0 ? 'down' : 'up'}`);
  if (Math.abs(zoom) > 0.02) words.push(`moves ${zoom > 0 ? 'forward or zooms in' : 'back or zooms out'}`);
  if (motion.camera.jitter * fps > 0.08) words.push('shakes');
  return words.length === 0 ? ' from a camera that stands still' : ` in which the camera ${words.join(' and ')}`;
}

function movingText(share: number, regions: number): string {
  if (share < 0.005) return 'Nothing else moves.';
  const where =
    regions === 0
      ? 'Small parts'
      : regions === 1
        ? 'One region'
        : regions <= 6
          ? `${['Two', 'Three', 'Four', 'Five', 'Six'][regions - 2]} regions`
          : 'Many regions';
  return `${where} of the picture ${regions === 1 ? 'moves' : 'move'} on ${regions === 1 ? 'its' : 'their'} own.`;
}

function lightText(brightness: number, contrast: number): string {
  const light =
    brightness < 0.12 ? 'very dark' : brightness < 0.3 ? 'dark' : brightness < 0.6 ? 'evenly lit' : 'bright';
  return contrast < 0.1 ? `${light} with little contrast` : contrast > 0.28 ? `${light} with strong contrast` : light;
}

function colourText(colours: ClipWork['quality']['colours'], saturation: number): string {
  if (colours.length === 0) return '';
  const names = colours.map((c) => c.name);
  const list = names.length === 1 ? names[0] : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  return `; ${saturation < 0.12 ? 'pale, ' : ''}mostly ${list}`;
}
