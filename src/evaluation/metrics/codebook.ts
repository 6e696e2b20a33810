// How much of a codebook a discrete tokenizer uses.

/** exp(−Σ p·ln(p + 2⁻²³)) over the codes that occur, and how many occur. @param codes indices ≥ 0 */
export function codebookUsage(codes: ArrayLike<number | bigint>): { perplexity: number; usedCodes: number } {
  const counts = new Map<number, number>();
  for (let i = 0; i < codes.length; i++) {
    const code = Number(codes[i]!);
    counts.set(code, (counts.get(code) ?? 0) + 1);
  }
  let entropy = 0;
  for (const count of counts.values()) {
    const p = count / codes.length;
    entropy -= p * Math.log(p + 2 ** -23);
  }
  return { perplexity: Math.exp(entropy), usedCodes: counts.size };
}
