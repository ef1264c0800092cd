// The load balancer's tables: frontends with their backends.

import { element } from './format.js';
import { cell, filtered, newRow } from './rows.js';

const node = document.getElementById('tables-node');
const none = document.getElementById('tables-none');
const rows = new Map(); // by frontend: { row, shown }
let now = { total: 0, frontends: [] };

const list = filtered('tables', 'frontends', () => now.frontends.length,
  () => (now.total > now.frontends.length ? `; the first of ${now.total}` : ''));

export function show(tables) {
  now = tables;
  node.textContent = tables.frontends.length ? `of node ${tables.node}` : '';
  none.hidden = tables.frontends.length > 0;
  const keys = new Set(tables.frontends.map(keyOf));
  for (const [key, { row }] of rows) {
    if (keys.has(key)) continue;
    row.remove();
    rows.delete(key);
  }
  for (const [i, f] of tables.frontends.entries()) {
    const key = keyOf(f), shown = JSON.stringify(f);
    const known = rows.get(key) || { row: newRow(), shown: '' };
    rows.set(key, known);
    if (known.shown !== shown) list.fill(known.row, cellsOf(f), f.kind);
    known.shown = shown;
    if (list.body.rows[i] !== known.row) list.body.insertBefore(known.row, list.body.rows[i] || null);
  }
  list.update();
}

function keyOf(f) {
  return `${f.address}/${f.protocol}`;
}

function cellsOf(f) {
  const backends = f.backends.map((b) => element('li', {}, element('b', {}, b.pod || b.address), b.node ? ` on ${b.node}` : '',
    `, ${b.pod ? b.address + ', ' : ''}`, element('span', { className: b.state === 'active' ? 'good' : 'bad' }, b.state),
    `, ${Math.round(b.share * 100)} %`));
  if (f.more) backends.push(element('li', {}, `and ${f.more} more`));
  if (!backends.length) backends.push(element('li', { className: 'bad' }, 'no backend'));
  return [
    cell('Frontend', element('b', {}, f.address), ` ${f.protocol}`),
    cell('Service', f.service.replace(/^default\//, '')),
    cell('Kind', f.kind + (f.local ? ', Local' : '')),
    cell('Mode', f.mode),
    cell('Flows of the port', f.connections.toLocaleString('en')),
    cell('Backends', element('ul', {}, ...backends)),
  ];
}
