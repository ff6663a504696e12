// Log lines.
function printable(value) {
  if (typeof value === 'string') return value;
  try {
    if (instanceOf(RealError, value)) return text(value);
    const json = stringify(value);
    if (json !== undefined) return json;
  } catch {
    // Falls through to String, the form for what JSON cannot show.
  }
  try {
    return text(value);
  } catch {
    return `[${typeof value}]`;
  }
}

function tell(level, line) {
  send(TELL, `{"kind":"log","level":"${level}","text":${stringify(line)}}`);
}

function write(level, values) {
  const { log_lines: most, log_line_bytes: longest } = job.limits;
  if (lines > most) return;
  lines++;
  if (lines > most) {
    tell('warn', `more than ${most} log lines: further lines are dropped`);
    return;
  }
  let line = '';
  for (let i = 0; i < values.length && line.length <= longest; i++) line += (i === 0 ? '' : ' ') + printable(values[i]);
  tell(level, slice(line, 0, longest + 1));
}

const writer = (name, level) => ({ [name](...values) { write(level, values); } })[name];
