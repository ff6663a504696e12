// Log lines, and the console made of them. None of it ever throws for what it is given.

let lines = 0;
let indent = '';
const counts = new RealMap();
const timers = new RealMap();

function tell(level, line) {
  if (ended) return;
  send(TELL, `{"kind":"log","level":"${level}","text":${stringify(line)}}`);
}

function writeLine(level, line) {
  const { log_lines: most, log_line_bytes: longest } = job.limits;
  if (lines > most) return;
  lines++;
  if (lines > most) {
    tell('warn', `more than ${most} log lines: dropped until the next call`);
    return;
  }
  tell(level, slice(line, 0, longest + 1));
}

function joined(values, from, start) {
  const longest = job.limits.log_line_bytes;
  let line = start;
  for (let i = from; i < values.length && line.length <= longest; i++) line += (i === 0 ? '' : ' ') + logged(values[i]);
  return line;
}

function indented(line) {
  if (indent === '') return line;
  line = slice(line, 0, job.limits.log_line_bytes + 1);
  let out = indent, from = 0;
  for (let end = indexOf(line, '\n', 0); end >= 0; end = indexOf(line, '\n', from)) {
    out += slice(line, from, end + 1) + indent;
    from = end + 1;
  }
  return out + slice(line, from);
}

const toNumber = (value, read) => (typeof value === 'object' || typeof value === 'symbol' ? 'NaN' : text(read(value)));

function filled(directive, value) {
  switch (directive) {
    case 's': return typeof value === 'string' ? value : logged(value);
    case 'd': return typeof value === 'bigint' ? `${text(value)}n` : toNumber(value, number);
    case 'i': return typeof value === 'bigint' ? `${text(value)}n` : toNumber(value, readInteger);
    case 'f': return typeof value === 'bigint' ? text(value) : toNumber(value, readFloat);
    case 'j': case 'o': case 'O': return inspect(value, 1);
    case 'c': return ''; // A style, for a browser.
    default: return undefined;
  }
}

// What console.log makes of its arguments: the first one may have places for the others.
function formatted(values) {
  if (values.length < 2 || typeof values[0] !== 'string' || indexOf(values[0], '%', 0) < 0) return joined(values, 0, '');
  const format = slice(values[0], 0, MOST_UNITS);
  let line = '', next = 1, from = 0;
  for (let i = indexOf(format, '%', 0); i >= 0 && i < format.length - 1; i = indexOf(format, '%', i)) {
    const directive = format[i + 1];
    const known = directive === '%' ? '%' : next < values.length ? filled(directive, values[next]) : undefined;
    if (known === undefined) { i++; continue; }
    if (directive !== '%') next++;
    line += slice(format, from, i) + known;
    i = from = i + 2;
  }
  return joined(values, next, line + slice(format, from));
}

function label(value) {
  try {
    return value === undefined ? 'default' : slice(text(value), 0, 256);
  } catch {
    return 'default';
  }
}

const tabular = (value) => isObject(value) && !isError(value);

// Rows and columns as text; what is no table is shown as it is.
function table(data) {
  const rows = keys(data), columns = bareList(), cells = bareList();
  let plain = false;
  for (let i = 0; i < rows.length && i < MOST_ENTRIES; i++) {
    const row = member(data, rows[i]);
    const line = { __proto__: null, '(index)': rows[i] };
    if (tabular(row)) {
      const names = keys(row);
      for (let k = 0; k < names.length && k < 20; k++) {
        let known = false;
        for (let n = 0; n < columns.length; n++) known = known || columns[n] === names[k];
        if (!known && columns.length < 20) columns[columns.length] = names[k];
        line[names[k]] = slice(inspect(member(row, names[k]), 1), 0, 64);
      }
    } else {
      plain = true;
      line.Values = slice(inspect(row, 1), 0, 64);
    }
    cells[cells.length] = line;
  }
  const header = bareList();
  header[0] = '(index)';
  for (let n = 0; n < columns.length; n++) header[header.length] = columns[n];
  if (plain) header[header.length] = 'Values';
  let out = '';
  for (let i = -1; i < cells.length; i++) {
    let line = '';
    for (let n = 0; n < header.length; n++) {
      const name = header[n];
      let width = name.length;
      for (let k = 0; k < cells.length; k++) width = (cells[k][name] || '').length > width ? cells[k][name].length : width;
      const cell = i < 0 ? name : cells[i][name] || '';
      line += (n === 0 ? '' : ' | ') + (n === header.length - 1 ? cell : padEnd(cell, width));
    }
    out += (i < 0 ? '' : '\n') + line;
  }
  return out;
}
const padEnd = uncurry(String.prototype.padEnd);

const elapsed = (name) => `${name}: ${time - mapLookup(timers, name)} ms`;

// Made at the first use.
function makeConsole() {
  const consoleMethods = {
    log(...values) { writeLine('info', indented(formatted(values))); },
    info(...values) { writeLine('info', indented(formatted(values))); },
    debug(...values) { writeLine('debug', indented(formatted(values))); },
    warn(...values) { writeLine('warn', indented(formatted(values))); },
    error(...values) { writeLine('error', indented(formatted(values))); },
    dir(value) { writeLine('info', indented(inspect(value, 1))); },
    dirxml(...values) { writeLine('info', indented(formatted(values))); },
    trace(...values) {
      const here = { __proto__: null };
      captureStackTrace(here, consoleMethods.trace);
      here.stack;
      writeLine('info', indented(`Trace${values.length === 0 ? '' : `: ${formatted(values)}`}${placeOf(here).frames}`));
    },
    assert(holds, ...values) {
      if (!holds) writeLine('error', indented(`Assertion failed${values.length === 0 ? '' : `: ${formatted(values)}`}`));
    },
    table(data) { writeLine('info', indented(tabular(data) ? table(data) : inspect(data, 0))); },
    group(...values) {
      if (values.length > 0) writeLine('info', indented(formatted(values)));
      if (indent.length < 40) indent += '  ';
    },
    groupCollapsed(...values) { apply(consoleMethods.group, undefined, values); },
    groupEnd() { indent = slice(indent, 2); },
    count(name) {
      const key = label(name);
      const count = (mapLookup(counts, key) || 0) + 1;
      pairSet(counts, key, count);
      writeLine('info', indented(`${key}: ${count}`));
    },
    countReset(name) { pairDelete(counts, label(name)); },
    time(name) { pairSet(timers, label(name), time); },
    timeLog(name, ...values) {
      const key = label(name);
      if (mapLookup(timers, key) === undefined) return;
      writeLine('info', indented(joined(values, 0, values.length === 0 ? elapsed(key) : `${elapsed(key)} `)));
    },
    timeEnd(name) {
      const key = label(name);
      if (mapLookup(timers, key) !== undefined) writeLine('info', indented(elapsed(key)));
      pairDelete(timers, key);
    },
    timeStamp() {}, profile() {}, profileEnd() {}, clear() {},
  };
  const made = {};
  const methods = ownKeys(consoleMethods);
  for (let i = 0; i < methods.length; i++) hide(made, methods[i], harmless(methods[i], consoleMethods[methods[i]]));
  return { console: made };
}

// Nothing that is logged may end a run: what a getter or a proxy of the script throws here is dropped. A fault is not.
function harmless(name, method) {
  return native({ [name](...values) {
    try {
      apply(method, undefined, values);
    } catch (error) {
      if (isObject(error) && mapHas(faults, error)) throw error;
    }
  } }[name]);
}

const print = (name) => harmless(name, (...values) => writeLine('info', joined(values, 0, '')));
