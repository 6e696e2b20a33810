// A 5×7 pixel alphabet for labels on pictures: no system font is needed, and the same text gives the same pixels everywhere.
// Printable ASCII only; other characters are drawn as a box.

// Per character from space to tilde: seven base-32 digits, one for each row from the top; the highest of five bits is left.
const GLYPHS = [
  '00000004444404aa00000avaaava4fke5u4pq248bjcik8lid4400000248884284222480level0044v4400000c48000v00000000cc11248gg',
  'ehjlphe4c4444eeh168gvu11e11u26aiv22vgu11he68guhhev124888ehhehheehhf12c0cc0cc00cc0c48248g84200v0v008421248eh12404',
  'ehnlngeehhvhhhuhhuhhuehgggheuhhhhhuvgguggvvggugggehgnhhehhhvhhhe44444e11111hehikokihggggggvhrllhhhhpljhhhehhhhhe',
  'uhhugggehhhliduhhukihfgge11uv444444hhhhhhehhhhha4hhhllrhhha4ahhhha4444v1248gve88888egg84211e22222e4ah0000000000v',
  '840000000e1fhfgguhhhu00egghe11fhhhf00ehvge698s88800fhf1egguhhhh40c444e20622icggikokic44444e00qllll00uhhhh00ehhhe',
  '00uhugg00fhf1100mpggg00fge1u88s889600hhhjd00hhha400hllla00ha4ah00hhf1e00v248v688o8864444444c22322c009li00',
].join('');

const COLUMNS = 5;
const ROWS = 7;
const BOX = 'vhhhhhv';

/** Width in pixels of a text at a scale (letters are 5 wide, 1 apart). */
export function textWidth(text: string, scale: number): number {
  return text.length === 0 ? 0 : ([...text].length * (COLUMNS + 1) - 1) * scale;
}

/** Height in pixels of a line at a scale. */
export function textHeight(scale: number): number {
  return ROWS * scale;
}

/** Draws one line of text into uint8 RGB `[H, W, 3]` with its left upper corner at (x, y); what lies outside is cut. */
export function drawText(
  canvas: { readonly data: Uint8Array; readonly width: number; readonly height: number },
  text: string,
  x: number,
  y: number,
  scale: number,
  colour: readonly [number, number, number],
): void {
  [...text].forEach((character, index) => {
    const code = character.codePointAt(0)! - 32;
    const rows = code >= 0 && code < 95 ? GLYPHS.slice(code * ROWS, (code + 1) * ROWS) : BOX;
    const left = x + index * (COLUMNS + 1) * scale;
    for (let py = 0; py < ROWS * scale; py++) {
      const bits = Number.parseInt(rows[Math.floor(py / scale)]!, 32);
      for (let px = 0; px < COLUMNS * scale; px++) {
        const isInk = (bits >> (COLUMNS - 1 - Math.floor(px / scale))) & 1;
        const [cx, cy] = [left + px, y + py];
        if (isInk && cx >= 0 && cx < canvas.width && cy >= 0 && cy < canvas.height)
          canvas.data.set(colour, (cy * canvas.width + cx) * 3);
      }
    }
  });
}
