// The classes URL and URLSearchParams over the parser of url.js.
function makeUrlClasses({ parseUrl, blank, opaque, special, hrefOf, originOf, pathOf, hostOf, showHost, encode, sets, percentDecode, invalid }) {
  const serialisePart = (string) => encode(string, sets.form).replaceAll('%20', '+');
  const decodePart = (string) => percentDecode(string.replaceAll('+', ' '));
  const wellFormed = (value) => `${value}`.toWellFormed();

  function parseQuery(query) {
    const list = [];
    for (const part of query.split('&')) {
      if (part === '') continue;
      const end = part.indexOf('=');
      list.push(end < 0 ? [decodePart(part), ''] : [decodePart(slice(part, 0, end)), decodePart(slice(part, end + 1))]);
    }
    return list;
  }

  function needs(values, count, method) {
    if (values.length < count) throw new RealTypeError(`URLSearchParams.${method}: expected ${count} argument${count === 1 ? '' : 's'}, got ${values.length}`);
  }

  // What links a URLSearchParams to its URL, and sees its list.
  let attach, replaceList;

  class URLSearchParams {
    #list = [];
    #changed = () => {};

    static {
      attach = (params, changed) => { params.#changed = changed; };
      replaceList = (params, query) => { params.#list = parseQuery(query); };
    }

    constructor(init = '') {
      if (typeof init === 'object' && init !== null) {
        const pairs = init[iteratorSymbol];
        if (pairs !== undefined && pairs !== null) {
          for (const pair of init) {
            const entry = Array.from(pair);
            if (entry.length !== 2) throw new RealTypeError('URLSearchParams: expected pairs of a name and a value');
            this.#list.push([wellFormed(entry[0]), wellFormed(entry[1])]);
          }
        } else for (const name of keys(init)) this.#list.push([wellFormed(name), wellFormed(init[name])]);
      } else {
        const query = wellFormed(init);
        this.#list = parseQuery(query[0] === '?' ? slice(query, 1) : query);
      }
    }

    get size() { return this.#list.length; }

    append(...values) {
      needs(values, 2, 'append');
      this.#list.push([wellFormed(values[0]), wellFormed(values[1])]);
      this.#changed();
    }

    delete(...values) {
      needs(values, 1, 'delete');
      const name = wellFormed(values[0]), value = values[1] === undefined ? undefined : wellFormed(values[1]);
      this.#list = this.#list.filter((pair) => pair[0] !== name || (value !== undefined && pair[1] !== value));
      this.#changed();
    }

    get(...values) {
      needs(values, 1, 'get');
      const found = this.#list.find((pair) => pair[0] === wellFormed(values[0]));
      return found === undefined ? null : found[1];
    }

    getAll(...values) {
      needs(values, 1, 'getAll');
      return this.#list.filter((pair) => pair[0] === wellFormed(values[0])).map((pair) => pair[1]);
    }

    has(...values) {
      needs(values, 1, 'has');
      const name = wellFormed(values[0]), value = values[1] === undefined ? undefined : wellFormed(values[1]);
      return this.#list.some((pair) => pair[0] === name && (value === undefined || pair[1] === value));
    }

    set(...values) {
      needs(values, 2, 'set');
      const name = wellFormed(values[0]), value = wellFormed(values[1]);
      const first = this.#list.findIndex((pair) => pair[0] === name);
      if (first < 0) this.#list.push([name, value]);
      else {
        this.#list[first][1] = value;
        this.#list = this.#list.filter((pair, i) => i <= first || pair[0] !== name);
      }
      this.#changed();
    }

    sort() {
      // By code units, and stable.
      this.#list.sort((x, y) => (x[0] < y[0] ? -1 : x[0] > y[0] ? 1 : 0));
      this.#changed();
    }

    forEach(callback, self = undefined) {
      if (typeof callback !== 'function') throw new RealTypeError('URLSearchParams.forEach: expected a function');
      for (let i = 0; i < this.#list.length; i++) apply(callback, self, [this.#list[i][1], this.#list[i][0], this]);
    }

    * entries() { for (let i = 0; i < this.#list.length; i++) yield [this.#list[i][0], this.#list[i][1]]; }
    * keys() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][0]; }
    * values() { for (let i = 0; i < this.#list.length; i++) yield this.#list[i][1]; }

    toString() { return this.#list.map((pair) => `${serialisePart(pair[0])}=${serialisePart(pair[1])}`).join('&'); }
  }
  hide(URLSearchParams.prototype, iteratorSymbol, URLSearchParams.prototype.entries);

  class URL {
    #url;
    #params;

    constructor(...values) {
      if (values.length === 0) throw new RealTypeError('URL: expected an address as text');
      const url = read(values[0], values[1]);
      if (url === undefined) throw invalid(values[0]);
      this.#url = url;
      this.#params = new URLSearchParams(url.query ?? '');
      attach(this.#params, () => {
        const query = this.#params.toString();
        this.#url.query = query === '' ? null : query;
      });
    }

    static canParse(input, base = undefined) { return read(input, base) !== undefined; }

    static parse(input, base = undefined) { return read(input, base) === undefined ? null : new URL(input, base); }

    #set(value, state, url = this.#url) { parseUrl(wellFormed(value), undefined, url, state); }

    // A setter that fails half-way changes nothing.
    #try(value, state) {
      const url = { ...this.#url };
      if (parseUrl(wellFormed(value), undefined, url, state) !== undefined) this.#url = url;
      else if (state === 'host' && url.host !== this.#url.host) this.#url.host = url.host;
    }

    get href() { return hrefOf(this.#url); }
    set href(value) {
      const url = parseUrl(wellFormed(value));
      if (url === undefined) throw invalid(value);
      this.#url = url;
      replaceList(this.#params, url.query ?? '');
    }

    get origin() { return originOf(this.#url); }

    get protocol() { return `${this.#url.scheme}:`; }
    set protocol(value) { this.#set(`${value}:`, 'scheme start'); }

    #lacksAuthority() { return this.#url.host === null || this.#url.host === '' || this.#url.scheme === 'file'; }

    get username() { return this.#url.username; }
    set username(value) { if (!this.#lacksAuthority()) this.#url.username = encode(`${value}`, sets.userinfo); }

    get password() { return this.#url.password; }
    set password(value) { if (!this.#lacksAuthority()) this.#url.password = encode(`${value}`, sets.userinfo); }

    get host() { return hostOf(this.#url); }
    set host(value) { if (!opaque(this.#url)) this.#try(value, 'host'); }

    get hostname() { return this.#url.host === null ? '' : showHost(this.#url.host); }
    set hostname(value) { if (!opaque(this.#url)) this.#try(value, 'hostname'); }

    get port() { return this.#url.port === null ? '' : `${this.#url.port}`; }
    set port(value) {
      if (this.#lacksAuthority()) return;
      if (`${value}` === '') this.#url.port = null;
      else this.#try(value, 'port');
    }

    get pathname() { return pathOf(this.#url); }
    set pathname(value) {
      if (opaque(this.#url)) return;
      this.#url.path = [];
      this.#set(value, 'path start');
    }

    get search() { return this.#url.query === null || this.#url.query === '' ? '' : `?${this.#url.query}`; }
    set search(value) {
      const query = wellFormed(value);
      this.#url.query = query === '' ? null : '';
      if (query !== '') this.#set(query[0] === '?' ? slice(query, 1) : query, 'query');
      replaceList(this.#params, this.#url.query ?? '');
    }

    get searchParams() { return this.#params; }

    get hash() { return this.#url.fragment === null || this.#url.fragment === '' ? '' : `#${this.#url.fragment}`; }
    set hash(value) {
      const fragment = wellFormed(value);
      this.#url.fragment = fragment === '' ? null : '';
      if (fragment !== '') this.#set(fragment[0] === '#' ? slice(fragment, 1) : fragment, 'fragment');
    }

    toString() { return this.href; }

    toJSON() { return this.href; }
  }

  function read(input, base) {
    let from;
    if (base !== undefined) {
      from = parseUrl(wellFormed(base));
      if (from === undefined) return undefined;
    }
    return parseUrl(wellFormed(input), from);
  }

  for (const [Kind, name] of [[URL, 'URL'], [URLSearchParams, 'URLSearchParams']])
    defineProperty(Kind.prototype, Symbol_.toStringTag, { __proto__: null, value: name, configurable: true });
  return { URL, URLSearchParams };
}
const Symbol_ = Symbol;
