// URL and URLSearchParams, as the WHATWG's URL standard has them. The states are those of its parser.
function makeUrl() {
  const PORTS = { __proto__: null, http: 80, https: 443, ws: 80, wss: 443, ftp: 21, file: null };
  const special = (scheme) => scheme in PORTS;
  const invalid = (input) => named(new RealTypeError(`Invalid URL: ${slice(`${input}`, 0, 256)}`), 'TypeError');
  const isAlpha = (c) => c !== undefined && /^[a-z]$/i.test(c);
  const isDigit = (c) => c !== undefined && c >= '0' && c <= '9';
  const { encode, sets, percentDecode } = makePercent();
  const { parseHost, showHost } = makeHosts();
  const isDrive = (s) => s.length === 2 && isAlpha(s[0]) && (s[1] === ':' || s[1] === '|');
  const startsWithDrive = (points, i) =>
    isAlpha(points[i]) && (points[i + 1] === ':' || points[i + 1] === '|') && (points[i + 2] === undefined || '/\\?#'.includes(points[i + 2]));
  const singleDot = (s) => s === '.' || s.toLowerCase() === '%2e';
  const doubleDot = (s) => ['..', '.%2e', '%2e.', '%2e%2e'].includes(s.toLowerCase());

  function shorten(url) {
    if (url.scheme === 'file' && url.path.length === 1 && /^[a-z]:$/i.test(url.path[0])) return;
    url.path.pop();
  }

  const blank = () => ({ scheme: '', username: '', password: '', host: null, port: null, path: [], query: null, fragment: null });
  const opaque = (url) => typeof url.path === 'string';
  const hasCredentials = (url) => url.username !== '' || url.password !== '';

  // The basic URL parser. Gives the URL; undefined if the input is none. With a state of its own it changes `url` only.
  function parseUrl(input, base, url, override) {
    if (url === undefined) {
      url = blank();
      input = input.replace(/^[\0- ]+/, '');
      let end = input.length;
      while (end > 0 && charCodeAt(input, end - 1) <= 0x20) end--;
      input = slice(input, 0, end);
    }
    const points = Array.from(input.replace(/[\t\n\r]/g, ''));
    let state = override ?? 'scheme start', buffer = '', atSign = false, brackets = false, passwordSeen = false;
    for (let i = 0; i <= points.length; i++) {
      const c = points[i];
      const slash = c === '/' || (c === '\\' && special(url.scheme));
      const ends = c === undefined || c === '/' || c === '?' || c === '#' || slash;
      switch (state) {
        case 'scheme start':
          if (isAlpha(c)) { buffer += c.toLowerCase(); state = 'scheme'; }
          else if (override === undefined) { state = 'no scheme'; i--; }
          else return undefined;
          break;
        case 'scheme':
          if (c !== undefined && /^[a-z0-9+.-]$/i.test(c)) buffer += c.toLowerCase();
          else if (c === ':') {
            if (override !== undefined) {
              if (special(url.scheme) !== special(buffer)) return url;
              if ((hasCredentials(url) || url.port !== null) && buffer === 'file') return url;
              if (url.scheme === 'file' && url.host === '') return url;
            }
            url.scheme = buffer;
            if (override !== undefined) {
              if (url.port === PORTS[url.scheme]) url.port = null;
              return url;
            }
            buffer = '';
            if (url.scheme === 'file') state = 'file';
            else if (special(url.scheme)) state = base !== undefined && base.scheme === url.scheme ? 'special relative or authority' : 'special authority slashes';
            else if (points[i + 1] === '/') { state = 'path or authority'; i++; }
            else { url.path = ''; state = 'opaque path'; }
          } else if (override === undefined) { buffer = ''; state = 'no scheme'; i = -1; }
          else return undefined;
          break;
        case 'no scheme':
          if (base === undefined || (opaque(base) && c !== '#')) return undefined;
          if (opaque(base)) { Object.assign(url, { scheme: base.scheme, path: base.path, query: base.query, fragment: '' }); state = 'fragment'; }
          else { state = base.scheme === 'file' ? 'file' : 'relative'; i--; }
          break;
        case 'special relative or authority':
          if (c === '/' && points[i + 1] === '/') { state = 'special authority ignore slashes'; i++; }
          else { state = 'relative'; i--; }
          break;
        case 'path or authority':
          if (c === '/') state = 'authority';
          else { state = 'path'; i--; }
          break;
        case 'relative':
          url.scheme = base.scheme;
          if (c === '/' || (c === '\\' && special(url.scheme))) { state = 'relative slash'; break; }
          Object.assign(url, { username: base.username, password: base.password, host: base.host, port: base.port, path: [...base.path], query: base.query });
          if (c === '?') { url.query = ''; state = 'query'; }
          else if (c === '#') { url.fragment = ''; state = 'fragment'; }
          else if (c !== undefined) { url.query = null; shorten(url); state = 'path'; i--; }
          break;
        case 'relative slash':
          if (special(url.scheme) && slash) state = 'special authority ignore slashes';
          else if (c === '/') state = 'authority';
          else { Object.assign(url, { username: base.username, password: base.password, host: base.host, port: base.port }); state = 'path'; i--; }
          break;
        case 'special authority slashes':
          state = 'special authority ignore slashes';
          if (c === '/' && points[i + 1] === '/') i++;
          else i--;
          break;
        case 'special authority ignore slashes':
          if (c !== '/' && c !== '\\') { state = 'authority'; i--; }
          break;
        case 'authority':
          if (c === '@') {
            if (atSign) buffer = `%40${buffer}`;
            atSign = true;
            for (const point of buffer) {
              if (point === ':' && !passwordSeen) passwordSeen = true;
              else if (passwordSeen) url.password += encode(point, sets.userinfo);
              else url.username += encode(point, sets.userinfo);
            }
            buffer = '';
          } else if (ends) {
            if (atSign && buffer === '') return undefined;
            i -= Array.from(buffer).length + 1;
            buffer = '';
            state = 'host';
          } else buffer += c;
          break;
        case 'host': case 'hostname':
          if (override !== undefined && url.scheme === 'file') { i--; state = 'file host'; }
          else if (c === ':' && !brackets) {
            if (buffer === '' || override === 'hostname') return undefined;
            const host = parseHost(buffer, !special(url.scheme));
            if (host === undefined) return undefined;
            url.host = host;
            buffer = '';
            state = 'port';
          } else if (ends) {
            i--;
            if (buffer === '' && (special(url.scheme) || (override !== undefined && (hasCredentials(url) || url.port !== null)))) return undefined;
            const host = parseHost(buffer, !special(url.scheme));
            if (host === undefined) return undefined;
            url.host = host;
            if (override !== undefined) return url;
            buffer = '';
            state = 'path start';
          } else {
            if (c === '[') brackets = true;
            if (c === ']') brackets = false;
            buffer += c;
          }
          break;
        case 'port':
          if (isDigit(c)) buffer += c;
          else if (ends || override !== undefined) {
            if (buffer !== '') {
              const port = Number(buffer);
              if (port > 65535) return undefined;
              url.port = port === PORTS[url.scheme] ? null : port;
              buffer = '';
            }
            if (override !== undefined) return url;
            state = 'path start';
            i--;
          } else return undefined;
          break;
        case 'file':
          url.scheme = 'file';
          url.host = '';
          if (c === '/' || c === '\\') state = 'file slash';
          else if (base !== undefined && base.scheme === 'file') {
            Object.assign(url, { host: base.host, path: [...base.path], query: base.query });
            if (c === '?') { url.query = ''; state = 'query'; }
            else if (c === '#') { url.fragment = ''; state = 'fragment'; }
            else if (c !== undefined) {
              url.query = null;
              if (startsWithDrive(points, i)) url.path = [];
              else shorten(url);
              state = 'path';
              i--;
            }
          } else { state = 'path'; i--; }
          break;
        case 'file slash':
          if (c === '/' || c === '\\') { state = 'file host'; break; }
          if (base !== undefined && base.scheme === 'file') {
            url.host = base.host;
            if (!startsWithDrive(points, i) && base.path.length > 0 && /^[a-z]:$/i.test(base.path[0])) url.path.push(base.path[0]);
          }
          state = 'path';
          i--;
          break;
        case 'file host':
          if (!(ends || c === '\\')) { buffer += c; break; }
          i--;
          if (override === undefined && isDrive(buffer)) state = 'path';
          else if (buffer === '') {
            url.host = '';
            if (override !== undefined) return url;
            state = 'path start';
          } else {
            const host = parseHost(buffer, !special(url.scheme));
            if (host === undefined) return undefined;
            url.host = host === 'localhost' ? '' : host;
            if (override !== undefined) return url;
            buffer = '';
            state = 'path start';
          }
          break;
        case 'path start':
          if (special(url.scheme)) { state = 'path'; if (c !== '/' && c !== '\\') i--; }
          else if (override === undefined && c === '?') { url.query = ''; state = 'query'; }
          else if (override === undefined && c === '#') { url.fragment = ''; state = 'fragment'; }
          else if (c !== undefined) { state = 'path'; if (c !== '/') i--; }
          else if (override !== undefined && url.host === null) url.path.push('');
          break;
        case 'path':
          if (c === undefined || slash || (override === undefined && (c === '?' || c === '#'))) {
            if (doubleDot(buffer)) { shorten(url); if (!slash) url.path.push(''); }
            else if (singleDot(buffer)) { if (!slash) url.path.push(''); }
            else {
              if (url.scheme === 'file' && url.path.length === 0 && isDrive(buffer)) buffer = `${buffer[0]}:`;
              url.path.push(buffer);
            }
            buffer = '';
            if (c === '?') { url.query = ''; state = 'query'; }
            if (c === '#') { url.fragment = ''; state = 'fragment'; }
          } else buffer += encode(c, sets.path);
          break;
        case 'opaque path':
          if (c === '?') { url.query = ''; state = 'query'; }
          else if (c === '#') { url.fragment = ''; state = 'fragment'; }
          else if (c === ' ') url.path += points[i + 1] === '?' || points[i + 1] === '#' ? '%20' : ' ';
          else if (c !== undefined) url.path += encode(c, sets.control);
          break;
        case 'query':
          if (c === undefined || (override === undefined && c === '#')) {
            url.query += encode(buffer, special(url.scheme) ? sets.specialQuery : sets.query);
            buffer = '';
            if (c === '#') { url.fragment = ''; state = 'fragment'; }
          } else buffer += c;
          break;
        default:
          if (c !== undefined) url.fragment += encode(c, sets.fragment);
      }
    }
    return url;
  }

  const pathOf = (url) => (opaque(url) ? url.path : url.path.map((part) => `/${part}`).join(''));
  const hostOf = (url) => (url.host === null ? '' : showHost(url.host) + (url.port === null ? '' : `:${url.port}`));

  function hrefOf(url) {
    let out = `${url.scheme}:`;
    if (url.host !== null) {
      out += '//';
      if (hasCredentials(url)) out += `${url.username}${url.password === '' ? '' : `:${url.password}`}@`;
      out += hostOf(url);
    } else if (!opaque(url) && url.path.length > 1 && url.path[0] === '') out += '/.';
    return out + pathOf(url) + (url.query === null ? '' : `?${url.query}`) + (url.fragment === null ? '' : `#${url.fragment}`);
  }

  function originOf(url) {
    if (url.scheme === 'blob') {
      const inner = opaque(url) ? parseUrl(url.path) : undefined;
      return inner !== undefined && (inner.scheme === 'http' || inner.scheme === 'https') ? originOf(inner) : 'null';
    }
    return special(url.scheme) && url.scheme !== 'file' ? `${url.scheme}://${hostOf(url)}` : 'null';
  }

  return makeUrlClasses({ parseUrl, blank, opaque, special, hrefOf, originOf, pathOf, hostOf, showHost, encode, sets, percentDecode, invalid });
}
