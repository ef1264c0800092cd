import * as api from './api.js';
import * as charts from './charts.js';
import * as controls from './controls.js';
import * as flows from './flows.js';
import { bits } from './format.js';
import * as lab from './lab.js';
import * as picture from './picture.js';
import * as tables from './tables.js';

const rate = document.getElementById('rate');
const rateOf = document.getElementById('rate-of');
let failed = false; // the last state had an error

function show(state) {
  picture.show(state);
  controls.show(state);
  charts.show(state);
  flows.tick(state);
  lab.show(state.lab);
  const clients = state.nodes.filter((n) => n.role === 'client' && (!state.download.running || n.name === state.download.client));
  rate.textContent = bits(clients.reduce((sum, n) => sum + n.toNode.rate, 0));
  const mode = state.services.find((s) => s.name === state.download.service)?.mode;
  rateOf.textContent = 'arrive at the client' + (state.download.running && mode ? `, ${mode}` : '');
  if (state.error) controls.say(state.error, true);
  else if (failed) controls.say('');
  failed = Boolean(state.error);
}

async function start() {
  const testbed = await api.describe();
  document.getElementById('name').textContent = testbed.name;
  document.title = `dsrlab: ${testbed.name}`;
  await picture.draw();
  controls.build(testbed);
  const events = new EventSource('events');
  events.onmessage = (event) => show(JSON.parse(event.data));
  events.addEventListener('tables', (event) => tables.show(JSON.parse(event.data)));
  events.addEventListener('flows', (event) => flows.show(JSON.parse(event.data)));
  events.addEventListener('lines', (event) => lab.tell(JSON.parse(event.data)));
  events.onerror = () => { failed = true; controls.say('dsrlab ui does not answer; trying again.', true); };
}

start().catch((error) => controls.say(error.message, true));
