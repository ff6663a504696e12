// Formats a time in UTC by a layout of Go's time package. `at` is in milliseconds since 1970.
const dateParts = {
  __proto__: null,
  year: uncurry(RealDate.prototype.getUTCFullYear), month: uncurry(RealDate.prototype.getUTCMonth),
  day: uncurry(RealDate.prototype.getUTCDate), weekday: uncurry(RealDate.prototype.getUTCDay),
  hour: uncurry(RealDate.prototype.getUTCHours), minute: uncurry(RealDate.prototype.getUTCMinutes),
  second: uncurry(RealDate.prototype.getUTCSeconds), utc: RealDate.UTC,
};

// Made at the first use.
let goTime;
const formatTime = (at, layout) => (goTime ??= makeGoTime())(at, layout);

function makeGoTime() {
  const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'];
  const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
  const two = (number) => padStart(text(number), 2, '0');
  const blank = (number, width) => padStart(text(number), width, ' ');
  // In the order in which Go's nextStdChunk tries them; a longer element before its own beginning.
  const ELEMENTS = [
    ['January', (t) => MONTHS[t.month]], ['Jan', (t) => slice(MONTHS[t.month], 0, 3)],
    ['Monday', (t) => DAYS[t.weekday]], ['Mon', (t) => slice(DAYS[t.weekday], 0, 3)], ['MST', () => 'UTC'],
    ['002', (t) => padStart(text(t.yearDay), 3, '0')],
    ['01', (t) => two(t.month + 1)], ['02', (t) => two(t.day)], ['03', (t) => two(t.hour % 12 || 12)],
    ['04', (t) => two(t.minute)], ['05', (t) => two(t.second)], ['06', (t) => two(t.year % 100)],
    ['15', (t) => two(t.hour)], ['1', (t) => text(t.month + 1)],
    ['2006', (t) => padStart(text(t.year), 4, '0')], ['2', (t) => text(t.day)],
    ['_2006', (t) => '_' + padStart(text(t.year), 4, '0')], ['__2', (t) => blank(t.yearDay, 3)], ['_2', (t) => blank(t.day, 2)],
    ['3', (t) => text(t.hour % 12 || 12)], ['4', (t) => text(t.minute)], ['5', (t) => text(t.second)],
    ['PM', (t) => (t.hour < 12 ? 'AM' : 'PM')], ['pm', (t) => (t.hour < 12 ? 'am' : 'pm')],
    ['-070000', () => '+000000'], ['-07:00:00', () => '+00:00:00'], ['-0700', () => '+0000'], ['-07:00', () => '+00:00'],
    ['-07', () => '+00'], ['Z070000', () => 'Z'], ['Z07:00:00', () => 'Z'], ['Z0700', () => 'Z'], ['Z07:00', () => 'Z'], ['Z07', () => 'Z'],
  ];
  const isLower = (unit) => unit >= 97 && unit <= 122;
  const isDigit = (unit) => unit >= 48 && unit <= 57;

  function fraction(layout, start, milliseconds) {
    const digit = layout[start + 1];
    if (digit !== '0' && digit !== '9') return undefined;
    let end = start + 1;
    while (layout[end] === digit) end++;
    if (isDigit(charCodeAt(layout, end))) return undefined;
    let digits = slice(padStart(text(milliseconds), 3, '0') + '000000', 0, end - start - 1);
    if (digit === '9') {
      let keep = digits.length;
      while (keep > 0 && digits[keep - 1] === '0') keep--;
      digits = slice(digits, 0, keep);
    }
    return { end, output: digits === '' ? '' : layout[start] + digits };
  }

  return function formatTime(at, layout) {
    const date = new RealDate(at);
    const t = {
      year: dateParts.year(date), month: dateParts.month(date), day: dateParts.day(date), weekday: dateParts.weekday(date),
      hour: dateParts.hour(date), minute: dateParts.minute(date), second: dateParts.second(date),
    };
    t.yearDay = floor((at - dateParts.utc(t.year, 0, 1)) / 86400000) + 1;
    let output = '';
    let i = 0;
    scan: while (i < layout.length) {
      if (layout[i] === '.' || layout[i] === ',') {
        const part = fraction(layout, i, ((at % 1000) + 1000) % 1000);
        if (part !== undefined) { output += part.output; i = part.end; continue; }
      }
      for (let k = 0; k < ELEMENTS.length; k++) {
        const name = ELEMENTS[k][0];
        if (!startsWith(layout, name, i)) continue;
        // Go reads "Jan" and "Mon" only where no lower-case letter follows.
        if ((name === 'Jan' || name === 'Mon') && isLower(charCodeAt(layout, i + 3))) continue;
        output += ELEMENTS[k][1](t);
        i += name.length;
        continue scan;
      }
      output += layout[i++];
    }
    return output;
  };
}
