// What can be changed while the testbed runs.

import { mayChange, post } from './api.js';
import { element } from './format.js';
import * as trace from './trace.js';

const place = document.getElementById('controls');
const message = document.getElementById('message');
const updates = []; // functions that bring a control up to date with a state
let state = null;
let busy = false;

export function say(text, bad = false) {
  message.textContent = text;
  message.classList.toggle('bad', bad);
}

// change posts, and disables all controls until the answer has come.
async function change(what, body, done) {
  if (busy || !mayChange) return;
  busy = true;
  show(state);
  say('');
  try {
    const answer = await post(what, body);
    if (done) done(answer);
  } catch (error) {
    say(error.message, true);
  }
  busy = false;
  show(state);
}

function button(text, key, act) {
  const b = element('button', { type: 'button' }, text);
  if (key) {
    b.append(' ', element('kbd', { ariaHidden: 'true' }, key));
    b.setAttribute('aria-keyshortcuts', key);
    keys.set(key, b);
  }
  b.addEventListener('click', act);
  updates.push(() => { b.disabled = busy || !mayChange || !state; });
  return b;
}

const keys = new Map();

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest('select, input')) return;
  keys.get(event.key)?.click();
});

function choice(text, pressed, act) {
  const b = button(text, '', () => { if (!pressed()) act(); });
  updates.push(() => b.setAttribute('aria-pressed', state ? String(pressed()) : 'false'));
  return b;
}

function group(title, ...rows) {
  place.append(element('fieldset', {}, element('legend', {}, title), ...rows));
}

function row(...children) {
  return element('div', { className: 'row' }, ...children);
}

function options(label, values) {
  const select = element('select', { ariaLabel: label }, ...values.map((v) => element('option', {}, v)));
  select.hidden = values.length < 2;
  return select;
}

export function build(testbed) {
  buildModes();
  buildDownload(testbed);
  if (testbed.limited.length) {
    group('LB node’s port', ...testbed.limited.map((node) => row(element('span', {}, node),
      ...['shape', 'police'].map((limit) => choice(limit,
        () => nodeOf(node)?.toNode.limit === limit, () => change('limit', { node, limit }))))));
  }
  if (testbed.mortal.length) {
    group('LB nodes', row(...testbed.mortal.map(buildNode)));
  }
  if (testbed.echoes.length && testbed.clients.length) {
    const client = options('Client', testbed.clients), service = options('Service', testbed.echoes);
    group('Trace', row(client, service, button('Trace one request', 't', () => change('trace',
      { client: client.value, service: service.value }, (report) => trace.open(report, client.value)))));
  }
  buildLab(testbed);
  if (!mayChange) say('View only: open the address that dsrlab ui printed to change anything.');
  show(state);
}

function buildModes() {
  const rows = element('div');
  group('Mode of services', rows);
  let built = false;
  updates.push(() => {
    if (built || !state) return;
    built = true;
    state.services.forEach((s, i) => rows.append(row(element('span', {}, s.name), ...['snat', 'dsr', 'hybrid'].map((mode) => choice(mode,
      () => state.services[i].mode === mode, () => change('mode', { service: s.name, mode }))))));
    keys.set('m', { click: () => change('mode', { service: state.services[0].name, mode: state.services[0].mode === 'dsr' ? 'snat' : 'dsr' }) });
    rows.append(element('div', { className: 'row' }, element('small', {}, element('kbd', {}, 'm'), ' switches the first between snat and dsr; the download connects anew')));
    for (const update of updates.slice()) update();
  });
}

function buildDownload(testbed) {
  if (!testbed.downloads.length || !testbed.clients.length) {
    group('Download', element('span', {}, 'No service of this topology has a bulk server.'));
    return;
  }
  const client = options('Client', testbed.clients), service = options('Service', testbed.downloads);
  const label = element('span', {}, 'Start download');
  const b = button(label, 'd', () => change('download', { client: client.value, service: service.value, on: !state.download.running }));
  b.id = 'download';
  b.classList.add('main');
  updates.push(() => {
    const running = Boolean(state?.download.running);
    label.textContent = running ? 'Stop download' : 'Start download';
    client.disabled = service.disabled = running || !mayChange;
    b.disabled = b.disabled || Boolean(state?.lab.running);
  });
  const note = element('small', { id: 'download-note' });
  updates.push(() => {
    const d = state?.download;
    note.textContent = !d?.running ? '' : d.error ? `connecting again: ${d.error}` : `connection ${d.connections}`;
  });
  group('Download', row(client, service, b, note));
}

function buildLab(testbed) {
  const select = element('select', { ariaLabel: 'Lab' }, ...testbed.labs.map((l) => element('option',
    { value: l.name, disabled: Boolean(l.why) }, `${l.name.slice(0, 2)} ${l.title}${l.why ? ` (not from here: ${l.why})` : ''}`)));
  const label = element('span', {}, 'Run lab');
  const b = button(label, '', () => change('lab', { lab: select.value, on: !state.lab.running }));
  b.id = 'lab-run';
  const note = element('small');
  updates.push(() => {
    const running = Boolean(state?.lab.running), download = Boolean(state?.download.running);
    label.textContent = running ? 'Stop lab' : 'Run lab';
    select.disabled = running || !mayChange;
    b.disabled = b.disabled || !running && (download || !select.value);
    note.textContent = running ? 'It has the machine to itself: stop it to download.'
      : download ? 'Stop the download first: a lab has the machine to itself.' : `It builds a testbed of its own; the picture stays that of ${testbed.name}.`;
  });
  select.addEventListener('change', () => show(state));
  group('Lab', row(select), row(b, note));
}

function buildNode(node) {
  const label = element('span', {}, `Kill ${node}`);
  updates.push(() => { label.textContent = `${nodeOf(node)?.up === false ? 'Restore' : 'Kill'} ${node}`; });
  const b = button(label, '', () => change('node', { node, on: nodeOf(node)?.up === false }));
  b.dataset.mortal = node;
  return b;
}

function nodeOf(name) {
  return state?.nodes.find((n) => n.name === name);
}

export function show(next) {
  state = next;
  for (const update of updates) update();
}
