// Published figures of other systems, for orientation in reports. Sources: the papers named in each note.
import type { Results } from '../report/table.ts';

/** Physics alignment of the first Cosmos models (arXiv 2501.03575, section 5.3.2). */
export const PUBLISHED_PHYSICS: NonNullable<Results['published']> = {
  note: 'Cosmos 1 models on 800 clips of their own simulator at 1080p, 33 frames, SAM2-based tracker (arXiv 2501.03575). Other scenes, other tracker: orientation only.',
  head: ['model, conditioning', 'PSNR', 'SSIM', 'DreamSim', 'IoU'],
  rows: [
    ['diffusion 7B Video2World, prompt + 1 frame', '17.34', '0.54', '0.84', '0.332'],
    ['diffusion 7B Video2World, prompt + 9 frames', '21.06', '0.691', '0.859', '0.592'],
    ['diffusion 14B Video2World, prompt + 9 frames', '20.21', '0.64', '0.86', '0.598'],
    ['autoregressive 4B, 9 frames', '18.13', '0.48', '0.86', '0.481'],
    ['autoregressive 12B, 9 frames', '18.22', '0.49', '0.87', '0.487'],
    ['autoregressive 13B Video2World, prompt + 9 frames', '18.26', '0.48', '0.87', '0.482'],
  ],
};

/** Tokenizers on TokenBench (Cosmos tokenizer cards). */
export const PUBLISHED_TOKENIZERS: NonNullable<Results['published']> = {
  note: 'Published on TokenBench (about 500 real videos, up to 1080p). Other videos and resolution: orientation only.',
  head: ['tokenizer (T × H × W)', 'PSNR', 'SSIM', 'rFVD'],
  rows: [
    ['CogVideoX 4×8×8', '33.149', '0.908', '6.970'],
    ['OmniTokenizer 4×8×8 (VAE)', '29.705', '0.830', '35.867'],
    ['Cosmos-CV 4×8×8', '37.270', '0.928', '6.849'],
    ['Cosmos-CV 8×8×8', '36.856', '0.917', '11.624'],
    ['Cosmos-CV 8×16×16', '35.158', '0.875', '43.085'],
    ['Cosmos-DV 8×16×16', '33.718', '0.828', '113.481'],
  ],
};

/** 3D consistency on RealEstate10K (arXiv 2501.03575, section 5.3.1). */
export const PUBLISHED_CONSISTENCY: NonNullable<Results['published']> = {
  note: 'Published on 500 RealEstate10K clips with SuperPoint and LightGlue matches and COLMAP (arXiv 2501.03575). Other clips and another matcher: orientation only.',
  head: ['model', 'Sampson px', 'pose success'],
  rows: [
    ['VideoLDM', '0.841', '4.4 %'],
    ['Cosmos 1 diffusion 7B Text2World', '0.355', '62.6 %'],
    ['Cosmos 1 diffusion 7B Video2World', '0.473', '68.4 %'],
    ['Cosmos 1 autoregressive 4B', '0.433', '35.6 %'],
    ['real videos', '0.431', '56.4 %'],
  ],
};
