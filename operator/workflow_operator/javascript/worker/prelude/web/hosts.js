// Percent-encoding and hosts of URLs: domains, IPv4 and IPv6 addresses, as the URL standard reads and writes them.

function makePercent() {
  const of = (characters, before = () => false) => (code) => before(code) || (code < 0x80 && characters.includes(fromCharCode(code)));
  const control = (code) => code <= 0x1f || code > 0x7e;
  const fragment = of(' "<>`', control);
  const query = of(' "#<>', control);
  const specialQuery = of("'", query);
  const path = of('?^`{}', query);
  const userinfo = of('/:;=@[\\]|', path);
  const component = of('$%&+,', userinfo);
  const form = of("!'()~", component);

  function encode(string, set) {
    let out = '';
    for (const point of string.toWellFormed()) {
      if (!set(point.codePointAt(0))) out += point;
      // encodeURIComponent leaves some ASCII as it is; all else it writes as wanted here.
      else out += point.length === 1 && charCodeAt(point, 0) < 0x80 ? `%${padStart(charCodeAt(point, 0).toString(16).toUpperCase(), 2, '0')}` : encodePoint(point);
    }
    return out;
  }

  const hex = (string, i) => {
    const digits = slice(string, i, i + 2);
    return /^[0-9a-f]{2}$/i.test(digits) ? parseInt(digits, 16) : -1;
  };

  // Bytes that are no UTF-8 become U+FFFD.
  function percentDecode(string) {
    if (!string.includes('%')) return string;
    const bytes = [];
    for (const point of string.toWellFormed()) {
      if (charCodeAt(point, 0) < 0x80) bytes.push(charCodeAt(point, 0));
      else for (let i = 0, encoded = encodePoint(point); i < encoded.length; i += 3) bytes.push(hex(encoded, i + 1));
    }
    const out = [];
    for (let i = 0; i < bytes.length; i++) {
      const value = bytes[i] === 0x25 && i + 2 < bytes.length ? hex(fromCharCode(bytes[i + 1], bytes[i + 2]), 0) : -1;
      out.push(value < 0 ? bytes[i] : value);
      if (value >= 0) i += 2;
    }
    return new (webText().TextDecoder)('utf-8', { ignoreBOM: true }).decode(new Uint8Array(out));
  }

  return { encode, percentDecode, sets: { control, fragment, query, specialQuery, path, userinfo, component, form } };
}
const encodePoint = encodeURIComponent;

function makeHosts() {
  const { encode, percentDecode, sets } = makePercent();
  const FORBIDDEN = /[\0\t\n\r #/:<>?@[\\\]^|]/;
  const FORBIDDEN_DOMAIN = /[\0-\x20"#%/:<>?@[\\\]^`{|}\x7f]/;

  // An address as a number (IPv4), a list of eight (IPv6), or a name; undefined for what is no host.
  function parseHost(input, isOpaque) {
    if (input[0] === '[') return input.endsWith(']') ? parseIPv6(slice(input, 1, -1)) : undefined;
    if (isOpaque) return FORBIDDEN.test(input) ? undefined : encode(input, sets.control);
    const name = toASCII(percentDecode(input));
    if (name === undefined || name === '' || FORBIDDEN_DOMAIN.test(name)) return undefined;
    return endsInNumber(name) ? parseIPv4(name) : name;
  }

  // IDNA: width and compatibility forms, lower case, NFC, then Punycode for each label that is not ASCII.
  function toASCII(domain) {
    const mapped = domain.replace(/[\u00ad\u200b\u2060\ufeff\ufe00-\ufe0f]/g, '').replace(/[\u3002\uff0e\uff61]/g, '.')
      .normalize('NFKC').toLowerCase().normalize('NFKC');
    const labels = mapped.split('.');
    for (let i = 0; i < labels.length; i++) {
      const label = labels[i];
      if (/^[\0-\x7f]*$/.test(label)) {
        if (label.startsWith('xn--') && (label.length === 4 || !/^[a-z0-9-]+$/.test(slice(label, 4)))) return undefined;
        continue;
      }
      if (/^\p{M}/u.test(label) || /[\p{C}\p{Z}]/u.test(label.replace(/[\u200c\u200d]/g, ''))) return undefined;
      const encoded = punycode(label);
      if (encoded === undefined) return undefined;
      labels[i] = `xn--${encoded}`;
    }
    return labels.join('.');
  }

  // RFC 3492.
  function punycode(label) {
    const points = Array.from(label, (point) => point.codePointAt(0));
    let out = points.filter((point) => point < 128).map((point) => fromCharCode(point)).join('');
    const basic = out.length;
    let handled = basic, n = 128, delta = 0, bias = 72;
    if (basic > 0) out += '-';
    const digit = (d) => fromCharCode(d < 26 ? d + 97 : d + 22);
    while (handled < points.length) {
      let next = 0x7fffffff;
      for (const point of points) if (point >= n && point < next) next = point;
      delta += (next - n) * (handled + 1);
      if (delta > 0x7fffffff) return undefined;
      n = next;
      for (const point of points) {
        if (point < n) delta++;
        if (point !== n) continue;
        let q = delta;
        for (let k = 36; ; k += 36) {
          const t = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
          if (q < t) break;
          out += digit(t + ((q - t) % (36 - t)));
          q = floor((q - t) / (36 - t));
        }
        out += digit(q);
        delta = handled === basic ? floor(delta / 700) : floor(delta / 2);
        delta += floor(delta / (handled + 1));
        let k = 0;
        for (; delta > 455; k += 36) delta = floor(delta / 35);
        bias = k + floor((36 * delta) / (delta + 38));
        delta = 0;
        handled++;
      }
      delta++;
      n++;
    }
    return out;
  }

  const numbersOf = (name) => {
    const parts = name.split('.');
    if (parts.length > 1 && parts[parts.length - 1] === '') parts.pop();
    return parts;
  };

  function endsInNumber(name) {
    const last = numbersOf(name).pop();
    return /^\d+$/.test(last) || /^0x[0-9a-f]*$/i.test(last);
  }

  function parsePart(part) {
    if (part === '') return undefined;
    if (/^0x[0-9a-f]*$/i.test(part)) return part.length === 2 ? 0 : parseInt(part, 16);
    if (/^0[0-7]*$/.test(part)) return part.length === 1 ? 0 : parseInt(part, 8);
    return /^[1-9]\d*$/.test(part) ? Number(part) : undefined;
  }

  function parseIPv4(name) {
    const parts = numbersOf(name);
    if (parts.length > 4) return undefined;
    let address = 0;
    for (let i = 0; i < parts.length; i++) {
      const value = parsePart(parts[i]);
      if (value === undefined) return undefined;
      if (i < parts.length - 1) {
        if (value > 255) return undefined;
        address += value * 256 ** (3 - i);
      } else {
        if (value >= 256 ** (5 - parts.length)) return undefined;
        address += value;
      }
    }
    return address;
  }

  function parseIPv6(input) {
    const halves = input.split('::');
    if (halves.length > 2) return undefined;
    const lists = [];
    for (let h = 0; h < halves.length; h++) {
      const list = [];
      if (halves[h] !== '' || halves.length === 1) {
        const parts = halves[h].split(':');
        for (let i = 0; i < parts.length; i++) {
          if (i === parts.length - 1 && h === halves.length - 1 && parts[i].includes('.')) {
            const numbers = parts[i].split('.');
            if (numbers.length !== 4 || !numbers.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256)) return undefined;
            list.push(numbers[0] * 256 + Number(numbers[1]), numbers[2] * 256 + Number(numbers[3]));
          } else if (/^[0-9a-f]{1,4}$/i.test(parts[i])) list.push(parseInt(parts[i], 16));
          else return undefined;
        }
      }
      lists.push(list);
    }
    if (lists.length === 1) return lists[0].length === 8 ? lists[0] : undefined;
    const missing = 8 - lists[0].length - lists[1].length;
    return missing < 1 ? undefined : [...lists[0], ...new Array(missing).fill(0), ...lists[1]];
  }

  function showHost(host) {
    if (typeof host === 'number') return [24, 16, 8, 0].map((shift) => (host >>> shift) & 255).join('.');
    if (typeof host === 'string') return host;
    let best = -1, longest = 1;
    for (let i = 0; i < 8; i++) {
      let end = i;
      while (end < 8 && host[end] === 0) end++;
      if (end - i > longest) { best = i; longest = end - i; }
    }
    const hex = (list) => list.map((part) => part.toString(16)).join(':');
    return `[${best < 0 ? hex(host) : `${hex(host.slice(0, best))}::${hex(host.slice(best + longest))}`}]`;
  }

  return { parseHost, showHost };
}
