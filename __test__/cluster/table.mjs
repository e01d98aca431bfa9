// The rows as people read them.

const seconds = (ms) => (ms === undefined ? '' : (ms / 1000).toFixed(1))
const whole = (count) => (count === undefined ? '' : count.toLocaleString('en'))

const COLUMNS = [
  ['scenario', ({ what }) => what],
  ['messages', ({ messages }) => whole(messages)],
  ['lost', ({ lost }) => whole(lost)],
  ['through files', ({ filed }) => whole(filed)],
  ['duplicated', ({ duplicated }) => whole(duplicated)],
  ['out of order', ({ unordered }) => whole(unordered)],
  ['only in memory, s', ({ longestMs }) => seconds(longestMs)],
  ['to recover, s', ({ recoverMs }) => seconds(recoverMs)],
  ['', ({ failures }) => (failures.length === 0 ? 'as expected' : 'NOT as expected')],
]

/** A table as Markdown has it, and what was not as expected. */
export function table(rows) {
  const cells = [
    COLUMNS.map(([title]) => title),
    ...rows.map((row) => COLUMNS.map(([, of]) => of(row))),
  ]
  const widths = COLUMNS.map((_, at) => Math.max(...cells.map((line) => line[at].length)))
  const lines = cells.map((line) => {
    const padded = line.map((text, at) =>
      at === 0 || at === COLUMNS.length - 1 ? text.padEnd(widths[at]) : text.padStart(widths[at])
    )
    return `| ${padded.join(' | ')} |`
  })
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`
  const failures = rows.flatMap(({ name, failures }) => failures.map((text) => `${name}: ${text}`))
  return [
    lines[0],
    rule,
    ...lines.slice(1),
    ...(failures.length > 0 ? ['', ...failures] : []),
  ].join('\n')
}
