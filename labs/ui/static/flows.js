// The newest flows that the nodes' data paths have seen: the first and last packet of each, and packets that were dropped.

import { element } from './format.js';
import { cell, filtered, newRow } from './rows.js';

const kept = 200; // as on the server
const none = document.getElementById('flows-none');
const pause = document.getElementById('flows-pause');
let all = []; // { flow, row }, the newest first
let total = 0;
let clock = 0; // of the last state, in ms
let unseen = 0; // flows that came while paused
let paused = false;

const list = filtered('flows', 'flows', () => list.body.rows.length,
  () => (total > all.length ? `; ${total.toLocaleString('en')} in all` : '') + (unseen ? `; ${unseen} more since the pause` : ''));

export function show(message) {
  total = message.total;
  const news = message.flows.reverse().map(draw);
  all = [...news, ...(message.begin ? [] : all)].slice(0, kept);
  if (paused) {
    unseen = Math.min(unseen + news.length, all.length);
  } else if (message.begin) {
    list.body.replaceChildren(...all.map((one) => one.row));
  } else {
    list.body.prepend(...news.slice(0, kept).map((one) => one.row));
    while (list.body.rows.length > kept) list.body.lastElementChild.remove();
  }
  none.hidden = all.length > 0;
  list.update();
}

// tick brings the ages up to date with a state.
export function tick(state) {
  clock = new Date(state.at).getTime();
  for (const one of all) setAge(one);
}

pause.addEventListener('click', () => {
  paused = !paused;
  pause.textContent = paused ? 'Continue' : 'Pause';
  if (!paused) {
    unseen = 0;
    list.body.replaceChildren(...all.map((one) => one.row));
  }
  list.update();
});

function draw(flow) {
  const dropped = flow.verdict === 'DROPPED';
  const one = { at: new Date(flow.time).getTime(), row: newRow(), age: cell('Age') };
  const packet = flow.protocol === 'TCP' ? `TCP ${flow.tcpFlags}` : flow.protocol;
  list.fill(one.row, [
    cell('Node', flow.node),
    cell('What', element('b', { className: dropped ? 'bad' : '' }, dropped ? 'dropped: ' + flow.reason : flow.reason), ` ${packet}`),
    cell('From', peer(flow.source)),
    cell('To', peer(flow.destination)),
    cell('Frontend', flow.frontend || '–'),
    cell('Mode', flow.mode || '–'),
  ], `${flow.verdict} ${flow.service || ''} ${flow.destination.address}`);
  one.row.prepend(one.age);
  if (clock) setAge(one);
  return one;
}

function peer(p) {
  return p.name ? `${p.name} ${p.address}` : p.address;
}

function setAge(one) {
  const text = age(clock - one.at);
  if (one.age.textContent !== text) one.age.textContent = text;
}

function age(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  return s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`;
}
