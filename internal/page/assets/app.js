// The live part of the page. The server's HTML is complete without it: this script puts
// newer states in place, each of them whole and at once, and renders only those rows of
// the table that fit the window.
const at = (id) => document.getElementById(id);
const service = document.body.dataset.service;
const address = 'ui/events' + (service ? '?service=' + encodeURIComponent(service) : '');
const silence = 15000; // milliseconds without news: the connection is lost
const spare = 10; // rows rendered above and below the window

// morph makes the children of a node like those of another one. Nodes stay, and with them
// the focus, a selection, and what is folded out.
function morph(from, to) {
  const now = [...from.childNodes];
  const next = [...to.childNodes];
  next.forEach((want, i) => {
    const have = now[i];
    if (!have) from.append(want);
    else if (have.nodeName !== want.nodeName) have.replaceWith(want);
    else if (want.nodeType !== Node.ELEMENT_NODE) {
      if (have.data !== want.data) have.data = want.data;
    } else {
      for (const { name } of [...have.attributes]) if (!want.hasAttribute(name) && name !== 'open') have.removeAttribute(name);
      for (const { name, value } of want.attributes) if (have.getAttribute(name) !== value) have.setAttribute(name, value);
      morph(have, want);
    }
  });
  now.slice(next.length).forEach((left) => left.remove());
}

const parse = (html) => new DOMParser().parseFromString(html, 'text/html').body;

// The table.
let rows = [];
let shown = [];
const lines = new Map(); // the rendered lines, by service
const filter = at('filter');
const person = at('person');

function newLine() {
  const line = at('row').content.firstElementChild.cloneNode(true);
  const parts = { line, cells: line.querySelectorAll('[data-f=cell]'), bar: {} };
  for (const node of line.querySelectorAll('[data-f]')) parts[node.dataset.f] = node;
  for (const node of line.querySelectorAll('[data-b]')) parts.bar[node.dataset.b] = node;
  return parts;
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function fill(parts, row, index) {
  put(parts.name, row.name);
  parts.name.setAttribute('href', '?service=' + encodeURIComponent(row.name));
  put(parts.where, row.where);
  put(parts.phase, row.phase);
  put(parts.sign, row.sign);
  put(parts.person, row.person ? ' needs you' : '');
  parts.class.className = 'phase ' + row.phase.toLowerCase();
  parts.line.className = row.person ? 'person' : '';
  parts.line.setAttribute('aria-rowindex', index + 2);
  row.cells.forEach((text, i) => {
    put(parts.cells[i], text);
    parts.cells[i].title = text;
  });
  parts.bar.ceiling.setAttribute('width', row.bar.ceiling);
  parts.bar.share.setAttribute('width', row.bar.share);
  parts.bar.seen.setAttribute('x', row.bar.low);
  parts.bar.seen.setAttribute('width', row.bar.low < 0 ? 0 : row.bar.wide);
}

function space(height, columns) {
  const line = document.createElement('tr');
  line.className = 'space';
  line.setAttribute('aria-hidden', 'true');
  const cell = line.insertCell();
  cell.colSpan = columns;
  cell.style.height = height + 'px';
  return line;
}

function find() {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = rows.filter((row) => {
    const text = (row.name + ' ' + row.where + ' ' + row.phase).toLowerCase();
    return (!person.checked || row.person) && words.every((word) => text.includes(word));
  });
  const all = rows.length === 1 ? '1 service' : rows.length + ' services';
  put(at('counted'), shown.length === rows.length ? all : shown.length + ' of ' + all);
}

// renderRows keeps the lines that stay, so that the focus stays.
function renderRows() {
  const body = at('rows');
  const style = getComputedStyle(document.documentElement);
  const height = parseFloat(style.fontSize) * parseFloat(style.getPropertyValue('--row')); // in the style every row has it
  const above = -body.getBoundingClientRect().top;
  const first = Math.max(0, Math.min(Math.floor(above / height) - spare, shown.length - 1));
  const last = Math.min(shown.length, Math.floor((above + innerHeight) / height) + spare + 1);
  const visible = shown.slice(first, Math.max(last, first));
  const names = new Set(visible.map((row) => row.name));
  for (const name of lines.keys()) if (!names.has(name)) lines.delete(name);
  const next = visible.map((row, i) => {
    if (!lines.has(row.name)) lines.set(row.name, newLine());
    const parts = lines.get(row.name);
    fill(parts, row, first + i);
    return parts.line;
  });
  const columns = at('table').rows[0].cells.length;
  next.unshift(space(first * height, columns));
  next.push(space(Math.max(0, shown.length - first - visible.length) * height, columns));
  const keep = new Set(next);
  for (const line of [...body.children]) if (!keep.has(line)) line.remove();
  next.forEach((line, i) => {
    if (body.children[i] !== line) body.insertBefore(line, body.children[i] ?? null);
  });
  at('table').setAttribute('aria-rowcount', shown.length + 1);
}

function refind() {
  const query = new URLSearchParams(location.search);
  query.delete('from');
  if (filter.value) query.set('filter', filter.value);
  else query.delete('filter');
  const text = query.toString();
  history.replaceState(null, '', text ? '?' + text : location.pathname);
  if (rows.length > 0) {
    find();
    renderRows();
  }
}

// One state: nothing of it is shown before all of it can be.
function show(state) {
  const top = parse(state.top);
  const detail = service ? parse(state.detail) : null;
  morph(at('top'), top);
  if (service) morph(at('live'), detail);
  else {
    rows = state.rows;
    find();
    renderRows();
  }
}

// The connection.
let source = null;
let newest = Date.now();
let lostSince = null;
let trouble = '';

function say(text) {
  put(at('conn'), text);
  document.body.classList.toggle('lost', lostSince !== null || trouble !== '');
}

function connected() {
  newest = Date.now();
  lostSince = null;
  trouble = '';
  say('Live');
}

function lost() {
  if (trouble) return;
  lostSince ??= new Date();
  const since = lostSince.toISOString().slice(11, 19) + 'Z';
  say('Connection lost since ' + since + ', trying again. What is shown is of ' + at('at').textContent + '.');
}

function open() {
  source?.close();
  newest = Date.now();
  source = new EventSource(address);
  source.onmessage = (event) => {
    show(JSON.parse(event.data));
    connected();
  };
  source.addEventListener('trouble', (event) => {
    newest = Date.now();
    trouble = event.data;
    say('No news: ' + trouble + ' What is shown is of ' + at('at').textContent + '.');
  });
  source.onerror = () => lost();
}

setInterval(() => {
  if (document.hidden) return;
  const quiet = Date.now() - newest > silence;
  if (quiet || (source.readyState === EventSource.CLOSED && Date.now() - newest > 2000)) {
    if (quiet) trouble = '';
    lost();
    open();
  }
}, 1000);

// Nobody looks at a hidden page: the replicas are not asked for it.
document.addEventListener('visibilitychange', () => {
  if (document.hidden) source?.close();
  else open();
});

// The form of explain.
at('ask').addEventListener('submit', async (event) => {
  event.preventDefault();
  const question = new URLSearchParams(new FormData(at('ask')));
  try {
    const answer = await fetch('ui/explain?' + question, { cache: 'no-store' });
    at('answer').replaceChildren(...parse(await answer.text()).childNodes);
  } catch {
    put(at('answer'), 'No answer: the connection is lost.');
  }
});

if (!service) {
  filter.addEventListener('input', refind);
  person.addEventListener('change', refind);
  at('find').addEventListener('submit', (event) => event.preventDefault());
  const later = () => rows.length > 0 && renderRows();
  addEventListener('scroll', later, { passive: true });
  addEventListener('resize', later, { passive: true });
  addEventListener('keydown', (event) => {
    const inRow = event.target.closest?.('#rows tr');
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === '/' && !/^(INPUT|TEXTAREA)$/.test(event.target.nodeName)) {
      event.preventDefault();
      filter.focus();
    } else if (inRow && step) {
      const next = step > 0 ? inRow.nextElementSibling : inRow.previousElementSibling;
      const link = next?.querySelector('a');
      if (link) {
        event.preventDefault();
        link.focus();
      }
    }
  });
}
open();
