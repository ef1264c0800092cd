// Rates over time, and whom the pod saw.

import { element } from './format.js';

const kept = 120; // states
const place = document.getElementById('chart');
const list = document.getElementById('caller-list');
const none = document.getElementById('caller-none');
const dark = matchMedia('(prefers-color-scheme: dark)');
const colours = { client: ['#3b6fd4', '#6ea0ff'], lb: ['#b7791f', '#e0a94a'], worker: ['#2f8f5b', '#57c088'] };
const dashes = { client: [], lb: [10, 4], worker: [3, 3] };
let chart = null;
let data = [[]];

function colour(role) {
  return (colours[role] || ['#b23c77', '#e787b7'])[dark.matches ? 1 : 0];
}

function make(nodes) {
  chart?.destroy();
  const style = getComputedStyle(document.documentElement);
  const axis = { stroke: style.getPropertyValue('--muted'), grid: { stroke: style.getPropertyValue('--line'), width: 0.5 }, font: '12px system-ui, sans-serif' };
  chart = new uPlot({
    width: place.clientWidth, height: 170, cursor: { show: false }, legend: { live: false },
    scales: { y: { range: (_, min, max) => [0, Math.max(max * 1.1, 10)] } },
    axes: [{ ...axis, size: 30 }, { ...axis, size: 52 }],
    series: [{}, ...nodes.map((n) => ({ label: n.name, stroke: colour(n.role), width: 2.5, dash: dashes[n.role] || [6, 2, 2, 2], points: { show: false } }))],
  }, data, place);
}

export function show(state) {
  if (data.length !== state.nodes.length + 1) data = [[], ...state.nodes.map(() => [])];
  data[0].push(new Date(state.at).getTime() / 1000);
  state.nodes.forEach((n, i) => data[i + 1].push(Math.max(n.toNode.rate, n.fromNode.rate) / 1e6));
  if (data[0].length > kept) for (const series of data) series.shift();
  if (!chart) {
    make(state.nodes);
    new ResizeObserver(() => chart.setSize({ width: place.clientWidth, height: 170 })).observe(place);
    dark.addEventListener('change', () => make(state.nodes));
  } else {
    chart.setData(data);
  }
  showCallers(state.callers);
}

function showCallers(callers) {
  none.hidden = callers.length > 0;
  const total = callers.reduce((sum, c) => sum + c.calls, 0);
  list.replaceChildren(...callers.map((c) => {
    const who = c.isNode ? `node ${c.name}, client hidden` : c.name ? `${c.name} itself` : 'an address outside of the topology';
    return element('li', {}, element('b', {}, c.address), ` ${who}, ${c.calls} ${c.calls === 1 ? 'call' : 'calls'}`,
      element('meter', { min: 0, max: total, value: c.calls, ariaLabel: `share of calls from ${c.address}` }));
  }));
}
