// Text and bytes: TextEncoder, TextDecoder, atob, btoa. First of the files of the web: it takes what the prelude hands them.
const {
  IteratorPrototype, RealDate, RealError, RealMap, RealPromise, RealRangeError, RealTypeError, RegExpConstructor,
  WorkflowError, apply, charCodeAt, dateValue, defineProperty, describe, emptied, floor, fromCharCode,
  global, hide, indexOf, instanceOf, isArray, isBuffer, isError, isObject, iteratorSymbol, keys, lazy, mapHas,
  mapLookup, mapSize, member, named, padStart, pairForEach, pairSet, put, setForEach, setSize, sized, slice,
  textMember, tryGetPrototypeOf, typedTag, uncurry, utf8Length,
} = shared;
const webText = lazy(['TextEncoder', 'TextDecoder', 'atob', 'btoa'], makeText);
lazy(['structuredClone'], makeClone);
lazy(['URL', 'URLSearchParams'], makeUrl);

function makeText() {
  // Of a string without lone surrogates.
  function encodeUtf8(string) {
    const bytes = new Uint8Array(utf8Length(string));
    let k = 0;
    for (let i = 0; i < string.length; i++) {
      let point = charCodeAt(string, i);
      if (point >= 0xd800 && point <= 0xdfff) point = 0x10000 + ((point - 0xd800) << 10) + (charCodeAt(string, ++i) - 0xdc00);
      if (point < 0x80) bytes[k++] = point;
      else if (point < 0x800) { bytes[k++] = 0xc0 | (point >> 6); bytes[k++] = 0x80 | (point & 63); }
      else {
        if (point < 0x10000) bytes[k++] = 0xe0 | (point >> 12);
        else { bytes[k++] = 0xf0 | (point >> 18); bytes[k++] = 0x80 | ((point >> 12) & 63); }
        bytes[k++] = 0x80 | ((point >> 6) & 63);
        bytes[k++] = 0x80 | (point & 63);
      }
    }
    return bytes;
  }

  class TextEncoder {
    get encoding() { return 'utf-8'; }

    encode(input = '') { return encodeUtf8(`${input}`.toWellFormed()); }

    encodeInto(source, destination) {
      if (typedTag(destination) !== 'Uint8Array') throw new RealTypeError('encodeInto: expected a Uint8Array as second argument');
      let read = 0, written = 0;
      const string = `${source}`.toWellFormed();
      while (read < string.length) {
        const bytes = encodeUtf8(fromCodePoint(string.codePointAt(read)));
        if (written + bytes.length > destination.length) break;
        destination.set(bytes, written);
        written += bytes.length;
        read += bytes.length === 4 ? 2 : 1;
      }
      return { read, written };
    }
  }
  const { fromCodePoint } = String;

  const LABELS = {
    __proto__: null,
    'utf-8': 'utf-8', utf8: 'utf-8', 'unicode-1-1-utf-8': 'utf-8', unicode11utf8: 'utf-8', unicode20utf8: 'utf-8', 'x-unicode20utf8': 'utf-8',
    'utf-16le': 'utf-16le', 'utf-16': 'utf-16le', ucs2: 'utf-16le', 'ucs-2': 'utf-16le', unicode: 'utf-16le', 'iso-10646-ucs-2': 'utf-16le',
    csunicode: 'utf-16le', unicodefeff: 'utf-16le', 'utf-16be': 'utf-16be', unicodefffe: 'utf-16be',
  };
  for (const label of ['windows-1252', 'latin1', 'l1', 'ascii', 'us-ascii', 'iso-8859-1', 'iso8859-1', 'iso88591', 'iso_8859-1', 'cp1252',
    'x-cp1252', 'cp819', 'ibm819', 'ansi_x3.4-1968', 'csisolatin1', 'iso-ir-100', 'iso_8859-1:1987']) LABELS[label] = 'windows-1252';
  // Where windows-1252 differs from Latin-1: 0x80 to 0x9f.
  const WINDOWS = '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
    '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';

  function bytesOf(input) {
    if (input === undefined) return new Uint8Array(0);
    if (isBuffer(input)) return new Uint8Array(input);
    if (typedTag(input) === 'Uint8Array') return input;
    if (isObject(input) && isBuffer(member(input, 'buffer'))) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    throw new RealTypeError('decode: expected an ArrayBuffer, a typed array or a DataView');
  }

  class TextDecoder {
    #encoding; #fatal; #ignoreBOM; #pending = []; #bomSeen = false; #streaming = false;

    constructor(label = 'utf-8', options = undefined) {
      const encoding = LABELS[`${label}`.trim().toLowerCase()];
      if (encoding === undefined) throw new RealRangeError(`TextDecoder: the encoding ${label} is not supported; expected utf-8, utf-16le, utf-16be or latin1`);
      this.#encoding = encoding;
      this.#fatal = Boolean(options?.fatal);
      this.#ignoreBOM = Boolean(options?.ignoreBOM);
    }

    get encoding() { return this.#encoding; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }

    decode(input = undefined, options = undefined) {
      const stream = Boolean(options?.stream);
      if (!this.#streaming) { this.#pending = []; this.#bomSeen = false; }
      this.#streaming = stream;
      let bytes = bytesOf(input);
      if (this.#pending.length > 0) {
        const all = new Uint8Array(this.#pending.length + bytes.length);
        all.set(this.#pending);
        all.set(bytes, this.#pending.length);
        bytes = all;
        this.#pending = [];
      }
      let out = '';
      const piece = [];
      const add = (unit) => {
        piece.push(unit);
        if (piece.length === 4096) { out += apply(fromCharCode, undefined, piece); piece.length = 0; }
      };
      const bad = () => {
        if (this.#fatal) { this.#streaming = false; throw new RealTypeError(`decode: the data is not valid ${this.#encoding}`); }
        add(0xfffd);
      };
      const rest = this.#encoding === 'utf-8' ? utf8(bytes, add, bad) : this.#encoding === 'windows-1252' ? windows1252(bytes, add)
        : utf16(bytes, add, bad, this.#encoding === 'utf-16be');
      if (rest < bytes.length) {
        if (stream) this.#pending = Array.from(bytes.subarray(rest));
        else bad();
      }
      out += apply(fromCharCode, undefined, piece);
      if (!this.#ignoreBOM && !this.#bomSeen && this.#encoding !== 'windows-1252' && out !== '') {
        this.#bomSeen = true;
        if (charCodeAt(out, 0) === 0xfeff) out = slice(out, 1);
      }
      return out;
    }
  }

  // Each gives the index behind the last complete character.
  function utf8(bytes, add, bad) {
    let i = 0;
    while (i < bytes.length) {
      const lead = bytes[i];
      if (lead < 0x80) { add(lead); i++; continue; }
      const more = lead >= 0xc2 && lead <= 0xdf ? 1 : lead >= 0xe0 && lead <= 0xef ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
      if (more === 0) { bad(); i++; continue; }
      let low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
      let high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
      let point = lead & (0x3f >> more), k = 1;
      for (; k <= more && i + k < bytes.length; k++) {
        const next = bytes[i + k];
        if (next < low || next > high) break;
        low = 0x80; high = 0xbf;
        point = (point << 6) | (next & 0x3f);
      }
      if (k <= more) {
        if (i + k >= bytes.length) return i;
        bad();
        i += k;
        continue;
      }
      if (point > 0xffff) { add(0xd800 + ((point - 0x10000) >> 10)); add(0xdc00 + ((point - 0x10000) & 0x3ff)); }
      else add(point);
      i += more + 1;
    }
    return i;
  }

  function utf16(bytes, add, bad, big) {
    const unitAt = (i) => (big ? (bytes[i] << 8) | bytes[i + 1] : bytes[i] | (bytes[i + 1] << 8));
    let i = 0;
    while (i + 1 < bytes.length) {
      const unit = unitAt(i);
      if (unit < 0xd800 || unit > 0xdfff) { add(unit); i += 2; continue; }
      if (unit >= 0xdc00) { bad(); i += 2; continue; }
      if (i + 3 >= bytes.length) return i;
      const low = unitAt(i + 2);
      if (low >= 0xdc00 && low <= 0xdfff) { add(unit); add(low); i += 4; }
      else { bad(); i += 2; }
    }
    return i;
  }

  function windows1252(bytes, add) {
    for (let i = 0; i < bytes.length; i++) add(bytes[i] >= 0x80 && bytes[i] < 0xa0 ? charCodeAt(WINDOWS, bytes[i] - 0x80) : bytes[i]);
    return bytes.length;
  }

  const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

  function btoa(data) {
    if (arguments.length === 0) throw new RealTypeError('btoa: expected a string');
    const string = `${data}`;
    let out = '';
    for (let i = 0; i < string.length; i += 3) {
      const x = charCodeAt(string, i), y = i + 1 < string.length ? charCodeAt(string, i + 1) : 0, z = i + 2 < string.length ? charCodeAt(string, i + 2) : 0;
      if (x > 255 || y > 255 || z > 255)
        throw named(new RealError('btoa: expected characters up to U+00FF: encode other text with TextEncoder first'), 'InvalidCharacterError');
      out += DIGITS[x >> 2] + DIGITS[((x & 3) << 4) | (y >> 4)] +
        (i + 1 < string.length ? DIGITS[((y & 15) << 2) | (z >> 6)] : '=') + (i + 2 < string.length ? DIGITS[z & 63] : '=');
    }
    return out;
  }

  function atob(data) {
    if (arguments.length === 0) throw new RealTypeError('atob: expected a string');
    const bad = () => named(new RealError('atob: the text is not correctly encoded as Base64'), 'InvalidCharacterError');
    let string = '';
    for (const unit of `${data}`) if (!(unit === ' ' || unit === '\t' || unit === '\n' || unit === '\f' || unit === '\r')) string += unit;
    if (string.length % 4 === 0) {
      if (string.endsWith('==')) string = slice(string, 0, -2);
      else if (string.endsWith('=')) string = slice(string, 0, -1);
    }
    if (string.length % 4 === 1) throw bad();
    let out = '', bits = 0, count = 0;
    for (let i = 0; i < string.length; i++) {
      const digit = indexOf(DIGITS, string[i]);
      if (digit < 0) throw bad();
      bits = (bits << 6) | digit;
      count += 6;
      if (count >= 8) { count -= 8; out += fromCharCode((bits >> count) & 255); }
    }
    return out;
  }

  return { TextEncoder, TextDecoder, atob, btoa };
}
