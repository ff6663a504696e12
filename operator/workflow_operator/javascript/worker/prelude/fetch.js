// Requests, which the executor makes, and their answers; and fetchSync(url, config).

const toUpperCase = uncurry(String.prototype.toUpperCase);
const toLowerCase = uncurry(String.prototype.toLowerCase);
const answers = new WeakMap(); // response -> what was recorded
// Made at the first use: most scripts make no request.
let made;
const requests = () => (made ??= makeRequests());

function fetchSync(url, config) {
  if (job.lenient) throw notAvailable('fetchSync is not available in this version');
  const { requestJson, responseOf } = requests();
  return responseOf(ask('fetchSync', fetchSync, requestJson('fetchSync', url, config), true));
}

function makeRequests() {
  let what = 'fetchSync';
  const REQUEST_MEMBERS = { __proto__: null, method: 1, body: 1, headers: 1, params: 1, skipTls: 1, username: 1, password: 1, timeout: 1 };
  const MAX_URL = 8192; // http.request.MAX_URL_CHARACTERS
  const DEFAULT_TIMEOUT_SECONDS = 30;

  const fetchProblem = (expected, got) => new RealTypeError(`${what}: expected ${expected}, got ${describe(got)}`);

  function requestText(value, expected) {
    if (typeof value === 'string') return stringify(value);
    if (typeof value === 'boolean' || (typeof value === 'number' && value - value === 0)) return stringify(text(value));
    throw fetchProblem(expected, value);
  }

  // Names and values as pairs; an array is several with one name.
  function pairs(given, what) {
    if (given === undefined || given === null) return '[]';
    if (typeof given !== 'object' || isArray(given)) throw fetchProblem(`an object as ${what}`, given);
    const expected = `a string, a number or a boolean in ${what}`;
    const names = keys(given);
    let out = '';
    for (let i = 0; i < names.length; i++) {
      const value = given[names[i]];
      if (value === undefined || value === null) continue;
      const values = isArray(value) ? value : [value];
      for (let k = 0; k < values.length; k++)
        out += `${out === '' ? '' : ','}[${stringify(names[i])},${requestText(values[k], expected)}]`;
    }
    return `[${out}]`;
  }

  // A header with several values is one line, as RFC 9110 allows for all that a request has.
  function headerPairs(given) {
    if (given === undefined || given === null) return bareList();
    if (typeof given !== 'object' || isArray(given)) throw fetchProblem('an object as headers', given);
    const list = bareList(), names = keys(given);
    for (let i = 0; i < names.length; i++) {
      const value = given[names[i]];
      if (value === undefined || value === null) continue;
      let joined = '';
      if (isArray(value)) for (let k = 0; k < value.length; k++) joined += (k === 0 ? '' : ', ') + text(value[k]);
      else joined = text(value);
      list[list.length] = { __proto__: null, name: names[i], value: joined };
    }
    return list;
  }

  function isJSONType(type) {
    return indexOf(toLowerCase(type), 'json', 0) >= 0;
  }

  // A body is sent as JSON, but for a text that its Content-Type tells to be something else.
  function bodyOf(value, headers) {
    if (value === undefined || value === null) return undefined;
    let type;
    for (let i = 0; i < headers.length; i++) if (toLowerCase(headers[i].name) === 'content-type') type = headers[i].value;
    if (typeof value === 'string' && type !== undefined && !isJSONType(type)) return value;
    if (type === undefined) headers[headers.length] = { __proto__: null, name: 'Content-Type', value: 'application/json' };
    return serialise(value, `${what}: the body`);
  }

  function requestJson(name, url, config) {
    what = name;
    const address = typeof url === 'object' && url !== null && typeof url.href === 'string' ? url.href : url;
    if (typeof address !== 'string' || address === '') throw fetchProblem('a URL as first argument', url);
    if (address.length > MAX_URL) throw new RealTypeError(`${what}: expected a URL of at most ${MAX_URL} characters, got one of ${address.length}`);
    if (config === undefined || config === null) config = {};
    if (typeof config !== 'object' || isArray(config)) throw fetchProblem('an object as second argument', config);
    const names = keys(config);
    for (let i = 0; i < names.length; i++)
      if (!(names[i] in REQUEST_MEMBERS))
        throw new RealTypeError(`${what}: expected no member ${slice(names[i], 0, 64)}; there are method, headers, params, body, timeout, username, password and skipTls`);
    const { method = 'GET', timeout = DEFAULT_TIMEOUT_SECONDS, skipTls = false, username, password } = config;
    if (typeof method !== 'string' || method.length > 16) throw fetchProblem('a method of HTTP', method);
    if (typeof timeout !== 'number' || timeout - timeout !== 0) throw fetchProblem('a number of seconds as timeout', timeout);
    const headers = headerPairs(config.headers);
    const body = bodyOf(config.body, headers);
    let headersText = '';
    for (let i = 0; i < headers.length; i++)
      headersText += `${i === 0 ? '' : ','}[${stringify(headers[i].name)},${stringify(headers[i].value)}]`;
    return `{"method":${stringify(toUpperCase(method))},"url":${stringify(address)},"params":${pairs(config.params, 'params')},` +
      `"headers":[${headersText}],"timeout":${stringify(timeout)},"skipTls":${skipTls === true}` +
      (body === undefined ? '' : `,"body":${stringify(body)}`) +
      (username === undefined || username === null ? '' : `,"username":${requestText(username, 'a string as username')}`) +
      (password === undefined || password === null ? '' : `,"password":${requestText(password, 'a string as password')}`) + '}';
  }

  const answerOf = (response, name) => {
    const found = mapGet(answers, response);
    if (found === undefined) throw new RealTypeError(`${name}: expected a response, got ${describe(response)}`);
    return found;
  };

  const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  function base64OfUtf8(string) {
    let out = '', held = 0, bits = 0;
    const put = (byte) => {
      held = (held << 8 | byte) & 0xFFFF;
      bits += 8;
      while (bits >= 6) { bits -= 6; out += BASE64[held >> bits & 63]; }
    };
    for (let i = 0; i < string.length; i++) {
      let code = charCodeAt(string, i);
      if (code >= 0xD800 && code < 0xDC00) code = 0x10000 + ((code - 0xD800) << 10) + (charCodeAt(string, ++i) - 0xDC00);
      if (code < 0x80) put(code);
      else if (code < 0x800) { put(0xC0 | code >> 6); put(0x80 | code & 63); }
      else if (code < 0x10000) { put(0xE0 | code >> 12); put(0x80 | code >> 6 & 63); put(0x80 | code & 63); }
      else { put(0xF0 | code >> 18); put(0x80 | code >> 12 & 63); put(0x80 | code >> 6 & 63); put(0x80 | code & 63); }
    }
    if (bits > 0) out += BASE64[held << (6 - bits) & 63];
    while (out.length % 4 !== 0) out += '=';
    return out;
  }

  const responseMethods = nativeMembers({
    text() {
      const found = answerOf(this, 'text');
      if (found.text === undefined) throw new RealTypeError('text: the body is no text; use base64()');
      return found.text;
    },
    json() {
      const found = answerOf(this, 'json');
      if (found.text === undefined) throw new RealTypeError('json: the body is no text; use base64()');
      return parse(found.text);
    },
    base64() {
      const found = answerOf(this, 'base64');
      return found.base64 === undefined ? base64OfUtf8(found.text) : found.base64;
    },
  });
  lose(responseMethods, 'a response', 'use response.json() or response.text()');

  function responseOf(found) {
    setPrototypeOf(found, null);
    const failed = found.error !== undefined;
    const response = setPrototypeOf({
      responseType: failed ? 'error' : 'basic',
      error: failed ? found.error : '',
      ok: !failed && found.status >= 200 && found.status < 300,
      redirected: !failed && found.redirected,
      status: failed ? 0 : found.status,
      statusText: failed ? '' : found.statusText,
      url: found.url,
      headers: failed ? {} : found.headers,
    }, responseMethods);
    mapSet(answers, response, { __proto__: null, text: failed ? '' : found.text, base64: found.base64 });
    return response;
  }

  return { __proto__: null, requestJson, responseOf };
}
