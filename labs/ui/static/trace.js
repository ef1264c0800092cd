// One traced request, played hop by hop on the picture.

import { element } from './format.js';
import * as picture from './picture.js';

const panel = document.getElementById('trace');
const hopPlace = document.getElementById('trace-hop');
const position = document.getElementById('trace-position');
const play = document.getElementById('trace-play');
const still = matchMedia('(prefers-reduced-motion: reduce)');
let stops = [];
let index = 0;
let timer = 0;

export function open(report, client) {
  const seen = report.seen ? `; the pod saw ${report.seen}` : '';
  document.getElementById('trace-summary').textContent = `${report.client} calls ${report.frontend}: ${report.outcome}${seen}.`;
  stops = report.hops.map((hop) => ({ node: hop.node, hop }));
  if (stops.length) {
    stops.unshift({ node: client, told: 'The client sends its request.' });
    stops.push({ node: client, told: report.answered ? 'The client has its answer.' : `The client has no answer: ${report.outcome}.` });
  }
  index = 0;
  panel.hidden = false;
  panel.scrollIntoView({ block: 'nearest', behavior: still.matches ? 'auto' : 'smooth' });
  show();
  if (!still.matches) start();
}

function start() {
  stop();
  if (index >= stops.length - 1) index = 0;
  timer = setInterval(() => step(1), 2500);
  play.textContent = 'Pause';
  show();
}

function stop() {
  clearInterval(timer);
  timer = 0;
  play.textContent = 'Play';
}

function step(by) {
  index = Math.max(0, Math.min(stops.length - 1, index + by));
  if (index === stops.length - 1) stop();
  show();
}

function show() {
  const s = stops[index];
  position.textContent = s ? `${index + 1} of ${stops.length}` : 'No packet was seen.';
  picture.at(s ? s.node : '');
  if (!s) {
    hopPlace.replaceChildren();
    return;
  }
  if (s.told) {
    hopPlace.replaceChildren(element('p', {}, element('b', {}, s.node), ': ', s.told));
    return;
  }
  const { hop } = s;
  const after = hop.afterNs >= 1e6 ? `${(hop.afterNs / 1e6).toFixed(1)} ms` : `${Math.round(hop.afterNs / 1e3)} µs`;
  hopPlace.replaceChildren(
    element('p', {}, element('b', {}, hop.node), ` ${hop.verdict === 'DROPPED' ? 'drops' : 'forwards'} it: ${hop.reason} (${hop.hook}, after ${after})`),
    element('div', { className: 'headers' }, table('Before', hop.in, hop.out || []), hop.out ? table('After', hop.out, hop.in) : element('p', {}, 'It ends here.')));
}

function table(caption, headers, others) {
  const known = new Set(others.map((h) => h.name + h.text));
  return element('table', {}, element('caption', {}, caption), element('tbody', {}, ...headers.map((h) => element('tr',
    { className: others.length && !known.has(h.name + h.text) ? 'changed' : '' },
    element('th', { scope: 'row' }, h.name), element('td', {}, ...decoded(h.text))))));
}

// decoded takes the DSR option of a Geneve header apart: class, type, length in words, address, port.
function decoded(text) {
  const found = /^(.*) option (\S+) \(([0-9a-f]+)\)$/.exec(text);
  if (!found) return [text];
  const [, before, frontend, hex] = found;
  return [before, element('br'), `DSR option: class 0x${hex.slice(0, 4)}, type 0x${hex.slice(4, 6)}, ${4 * (parseInt(hex.slice(6, 8), 16) & 31)} bytes `,
    `${hex.slice(8)}: frontend ${frontend}`];
}

document.getElementById('trace-back').addEventListener('click', () => { stop(); step(-1); });
document.getElementById('trace-next').addEventListener('click', () => { stop(); step(1); });
play.addEventListener('click', () => { if (timer) stop(); else start(); });
document.addEventListener('keydown', (event) => {
  if (panel.hidden || event.ctrlKey || event.altKey || event.metaKey || event.target.closest('select, input, .rows')) return;
  if (event.key === 'ArrowLeft') { stop(); step(-1); }
  if (event.key === 'ArrowRight') { stop(); step(1); }
});
