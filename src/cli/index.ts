// Layer 6: the `orrery` command. A program, not a library door: the tests of the documents read its command tree.
export { createProgram } from './program.ts';
