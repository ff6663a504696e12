// Values as text for people: log lines, and what of a thrown value has no other form. Bounded in depth, entries and length.

const MOST_DEPTH = 5;
const MOST_ENTRIES = 100;
const MOST_UNITS = 16384;

let left = 0; // units that may still be written
let open; // the objects that are being written, from the outside to the inside

const spend = (written) => {
  left -= written.length;
  return written;
};

function entries(prefix, opening, closing, size, write) {
  let line = prefix + opening;
  for (let i = 0; i < size; i++) {
    if (i > 0) line += ',';
    if (i >= MOST_ENTRIES || left <= 0) { line += `... ${size - i} more`; break; }
    line += write(i);
  }
  return line + closing;
}

function listOf(forEach, collection, pick) {
  const list = bareList();
  forEach(collection, (value, key) => { if (list.length < MOST_ENTRIES) list[list.length] = pick(value, key); });
  return list;
}

const sized = (read, value) => {
  try {
    return read(value);
  } catch {
    return undefined;
  }
};

function showMembers(value, prefix, level, skipped) {
  const all = keys(value), names = bareList();
  for (let i = 0; i < all.length; i++) if (skipped === undefined || !(all[i] in skipped)) names[names.length] = all[i];
  if (skipped !== undefined && names.length === 0) return prefix;
  return entries(prefix === '' ? '' : `${prefix} `, '{', '}', names.length,
    (i) => `${spend(stringify(names[i]))}:${show(member(value, names[i]), level + 1)}`);
}

function showObject(value, level) {
  for (let i = 0; i < open.length; i++) if (open[i] === value) return '[Circular]';
  if (isError(value)) return showError(value, level);
  if (level >= MOST_DEPTH) return isArray(value) ? '[Array]' : '[Object]';
  const tag = typedTag(value), depth = open.length;
  open[depth] = value;
  try {
    if (isArray(value)) return entries('', '[', ']', value.length, (i) => show(member(value, i), level + 1));
    const pairs = sized(mapSize, value);
    if (pairs !== undefined) {
      const list = listOf(pairForEach, value, (item, key) => ({ __proto__: null, key, item }));
      return entries(`Map(${pairs}) `, '{', '}', pairs, (i) => `${show(list[i].key, level + 1)} => ${show(list[i].item, level + 1)}`);
    }
    const members = sized(setSize, value);
    if (members !== undefined) {
      const list = listOf(setForEach, value, (item) => item);
      return entries(`Set(${members}) `, '{', '}', members, (i) => show(list[i], level + 1));
    }
    if (tag !== undefined) return entries(`${tag}(${typedLength(value)}) `, '[', ']', typedLength(value), (i) => show(value[i], level + 1));
    const bytes = sized(bufferLength, value);
    if (bytes !== undefined) return `ArrayBuffer(${bytes})`;
    if (instanceOf(RegExpConstructor, value)) return slice(regExpText(value), 0, 1024);
    if (instanceOf(RealPromise, value)) return 'Promise {}';
    const toJSON = member(value, 'toJSON');
    if (typeof toJSON === 'function') {
      let json = value;
      try { json = apply(toJSON, value, ['']); } catch { /* Then its members are shown. */ }
      if (json !== value) return show(json, level);
    }
    const prototype = tryGetPrototypeOf(value);
    const plain = prototype === null || prototype === objectPrototype;
    return showMembers(value, plain ? '' : slice(textMember(member(prototype, 'constructor'), 'name') || '', 0, 64), level);
  } finally {
    open.length = depth;
  }
}
const RegExpConstructor = RegExp;
const regExpText = uncurry(RegExp.prototype.toString);

function showError(error, level) {
  const head = slice(headOf(error), 0, 2048);
  return spend(level === 0 ? head : `[${head}]`);
}

function show(value, level) {
  switch (typeof value) {
    case 'string': return spend(level === 0 ? slice(value, 0, MOST_UNITS) : stringify(slice(value, 0, MOST_UNITS)));
    case 'bigint': return spend(level === 0 ? text(value) : `${text(value)}n`);
    case 'function': {
      const name = textMember(value, 'name');
      return spend(level === 0 ? slice(functionText(value), 0, MOST_UNITS) : `[Function${name ? ` ${slice(name, 0, 128)}` : ''}]`);
    }
    case 'object':
      if (value === null) return spend('null');
      try {
        return showObject(value, level);
      } catch {
        return '[object]'; // A member of it throws.
      }
    default: return spend(text(value));
  }
}
const functionText = uncurry(Function.prototype.toString);

function inspect(value, level = 1) {
  const before = left, around = open;
  left = MOST_UNITS;
  open = bareList();
  try {
    return slice(show(value, level), 0, MOST_UNITS);
  } finally {
    left = before;
    open = around;
  }
}

// A thrown value that is no error.
function printable(value) {
  return inspect(value, 0);
}

// An argument of a log line: an error is told with the place where it was made, its fields and its causes.
function logged(value) {
  if (!isObject(value) || !isError(value)) return inspect(value, 0);
  const place = placeOf(value);
  const more = behind(value);
  return headOf(value) + (place === undefined ? '' : place.frames) + (more === '' ? '' : `\n${more}`);
}
