// Parquet tables: flat columns and lists of floats, written in one go and read by column. Readable by pandas, DuckDB, pyarrow.
import { readFileSync } from 'node:fs';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { OrreryError } from '../base/index.ts';
import { writeFileAtomic } from './files.node.ts';

/** Type of a column. `floats` is a list of float32 per row. */
export type ColumnType = 'text' | 'integer' | 'number' | 'float' | 'flag' | 'floats' | 'texts';

/** A column; `null` is an empty cell. */
export type Column = {
  readonly name: string;
  readonly type: ColumnType;
  readonly values: readonly (
    | string
    | number
    | bigint
    | boolean
    | readonly number[]
    | Float32Array
    | readonly string[]
    | null
  )[];
};

type SchemaElement = NonNullable<Parameters<typeof parquetWriteBuffer>[0]['schema']>[number];

const PLAIN: Readonly<Record<Exclude<ColumnType, 'floats' | 'texts'>, Omit<SchemaElement, 'name'>>> = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' },
  integer: { type: 'INT64' },
  number: { type: 'DOUBLE' },
  float: { type: 'FLOAT' },
  flag: { type: 'BOOLEAN' },
};

function schemaOf(columns: readonly Column[]): SchemaElement[] {
  return [
    { name: 'root', num_children: columns.length },
    ...columns.flatMap(({ name, type }): SchemaElement[] =>
      type === 'floats' || type === 'texts'
        ? [
            { name, repetition_type: 'OPTIONAL', num_children: 1, converted_type: 'LIST' },
            { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
            type === 'floats'
              ? { name: 'element', type: 'FLOAT', repetition_type: 'OPTIONAL' }
              : { name: 'element', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
          ]
        : [{ name, repetition_type: 'OPTIONAL', ...PLAIN[type] }],
    ),
  ];
}

/** Writes a table atomically. All columns have the same number of rows. */
export function writeParquet(path: string, columns: readonly Column[], rowGroupSize = 20_000): void {
  const columnData = columns.map(({ name, type, values }) => ({
    name,
    data: values.map((v) => {
      if (v === null) return undefined;
      if (type === 'integer') return BigInt(v as number | bigint);
      return v instanceof Float32Array ? Array.from(v) : v;
    }) as unknown[],
  }));
  const bytes = parquetWriteBuffer({
    columnData: columnData as never,
    schema: schemaOf(columns),
    rowGroupSize,
    statistics: false,
  });
  writeFileAtomic(path, new Uint8Array(bytes));
}

/** Reads a table as one object per row. 64-bit integers become numbers. */
export async function readParquet(path: string, columns?: readonly string[]): Promise<Record<string, unknown>[]> {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new OrreryError('data', `${path}: cannot be read (${(cause as Error).message}); check the path`, { cause });
  }
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  try {
    const rows = (await parquetReadObjects({
      file,
      ...(columns === undefined ? {} : { columns: [...columns] }),
    })) as Record<string, unknown>[];
    for (const row of rows)
      for (const [key, value] of Object.entries(row)) if (typeof value === 'bigint') row[key] = Number(value);
    return rows;
  } catch (cause) {
    throw new OrreryError('data', `${path}: not a parquet table that can be read (${(cause as Error).message})`, {
      cause,
    });
  }
}

/** Names of the columns of a table. */
export function parquetColumns(path: string): readonly string[] {
  const bytes = readFileSync(path);
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
  return parquetMetadata(file)
    .schema.slice(1)
    .map((s) => s.name);
}
