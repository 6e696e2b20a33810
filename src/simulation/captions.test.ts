// Captions: the same words for the same clip, true words about colours and counts, outcomes only on request.
import { describe, expect, it } from 'vitest';
import { captionOf } from './captions.ts';
import { groupOf, list, thingsOf } from './captions-words.ts';
import { buildScene, SCENARIOS, simulateClip } from './scenarios/index.ts';

describe('captionOf', () => {
  it.each(SCENARIOS)('%s: a sentence in three lengths', async (name) => {
    const { scene, trajectory } = await simulateClip(name, 2, { frames: 30 });
    const [short, medium, long] = (['short', 'medium', 'long'] as const).map((style) =>
      captionOf(scene, trajectory, { style, outcome: true }),
    ) as [string, string, string];
    for (const text of [short, medium, long]) expect(text).toMatch(/^[A-Z][^{}]*\.$/);
    expect(short).not.toMatch(/undefined|NaN/);
    expect(medium.startsWith(short)).toBe(true);
    expect(long.length).toBeGreaterThan(medium.length);
    expect(long).toMatch(/camera .*The light is /);
    expect(captionOf(scene, trajectory, { style: 'long', outcome: true })).toBe(long);
  });

  it('names the colours of the scene', async () => {
    const { scene, trajectory } = await simulateClip('table_collision', 4);
    const text = captionOf(scene, trajectory, { style: 'short' });
    for (const thing of thingsOf(scene)) expect(text.toLowerCase()).toContain(thing.color);
  });

  it('keeps the end to itself when asked, and in half of the clips when not', async () => {
    const { scene, trajectory } = await simulateClip('table_trough', 3);
    const open = captionOf(scene, trajectory, { outcome: false });
    const told = captionOf(scene, trajectory, { outcome: true });
    expect(told.startsWith(open)).toBe(true);
    expect(told.length).toBeGreaterThan(open.length);
    const lengths = Array.from({ length: 40 }, (_, seed) => captionOf(scene, trajectory, { seed }).split('. ').length);
    const withEnd = lengths.filter((n) => n === Math.max(...lengths)).length;
    expect(withEnd).toBeGreaterThan(8);
    expect(withEnd).toBeLessThan(32);
  });

  it('has several phrasings', async () => {
    const { scene, trajectory } = await simulateClip('table_freefall', 3);
    const texts = Array.from({ length: 30 }, (_, seed) => captionOf(scene, trajectory, { style: 'short', seed }));
    expect(new Set(texts).size).toBeGreaterThan(4);
  });
});

describe('words', () => {
  it('counts equal objects together', () => {
    const [ball] = thingsOf(buildScene('table_trough', 1));
    const other = { ...ball!, color: 'white', shape: 'cube' };
    const red = { ...ball!, color: 'red', shape: 'ball' };
    expect(groupOf([red, other, red])).toBe('two red balls and a white cube');
    expect(groupOf([{ ...other, color: 'orange', shape: 'box' }])).toBe('an orange box');
    expect(list(['a', 'b', 'c'])).toBe('a, b and c');
  });
});
