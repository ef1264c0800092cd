// The topology with its traffic: wide lines for high rates, requests and replies told apart by colour and pattern.

import { picture } from './api.js';
import { bits, limit } from './format.js';

const place = document.getElementById('picture');
const visible = 2000; // bit/s, as on the server
let most = 1e6; // bit/s: the rate of the widest line

export async function draw() {
  place.append(await picture('wide'), await picture('narrow'));
}

function each(selector, change) {
  for (const e of place.querySelectorAll(selector)) change(e);
}

function setWay(group, rate) {
  const on = rate >= visible;
  group.classList.toggle('on', on);
  group.classList.toggle('fast', rate >= most / 4);
  if (!on) return;
  const widest = group.closest('.narrow') ? 10 : 15;
  const width = 2.5 + (widest - 2.5) * Math.sqrt(Math.min(rate / most, 1));
  group.querySelector('.body').style.strokeWidth = width;
  group.querySelector('.marks').style.strokeWidth = group.classList.contains('request') ? width : width * 0.55;
}

export function show(state) {
  for (const n of state.nodes) {
    most = Math.max(most, n.toNode.rate, n.fromNode.rate, n.toNode.limitRate, n.fromNode.limitRate);
  }
  const ways = new Map(state.ways.map((w) => [`${w.from} ${w.to} ${w.kind}`, w.rate]));
  each('[data-from]', (g) => setWay(g, ways.get(`${g.dataset.from} ${g.dataset.to} ${g.dataset.kind}`) || 0));
  const nodes = new Map(state.nodes.map((n) => [n.name, n]));
  each('[data-lane]', (g) => setWay(g, nodes.get(g.dataset.node)?.lanes[g.dataset.lane] || 0));
  each('[data-box]', (g) => g.classList.toggle('down', nodes.get(g.dataset.box)?.up === false));
  each('[data-text]', (t) => setText(t, nodes.get(t.dataset.node)));
}

function setText(text, node) {
  if (!node) return;
  if (text.dataset.text === 'limit') {
    const drops = node.toNode.drops + node.fromNode.drops;
    const limited = node.toNode.limitRate ? ` over ${bits(node.toNode.limitRate)}` : '';
    if (!node.up) text.textContent = 'port down';
    else text.textContent = drops >= 1 ? `drops ${Math.round(drops)}/s${limited}` : limit(node.toNode);
    text.classList.toggle('limited', drops >= 1 || !node.up);
    return;
  }
  const rate = node[text.dataset.text].rate;
  const box = text.ownerSVGElement.querySelector(`[data-box="${CSS.escape(node.name)}"] .box`);
  const right = box.x.baseVal.value > text.x.baseVal[0].value;
  const arrow = (text.dataset.text === 'toNode') === right ? '→' : '←';
  text.textContent = rate >= visible ? `${arrow} ${bits(rate)}` : '';
}

// at marks the node that a traced packet is at; '' none.
export function at(node) {
  each('[data-box]', (g) => g.classList.toggle('at', g.dataset.box === node));
  each('.packet', (packet) => {
    const box = packet.ownerSVGElement.querySelector(`[data-box="${CSS.escape(node)}"] .box`);
    packet.classList.toggle('on', box !== null);
    if (!box) return;
    const x = box.x.baseVal.value, y = box.y.baseVal.value + box.height.baseVal.value / 2;
    const left = x < packet.ownerSVGElement.viewBox.baseVal.width / 4;
    packet.style.transform = `translate(${left ? x + box.width.baseVal.value : x}px, ${y}px)`;
  });
}
