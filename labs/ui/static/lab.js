// A lab that runs on a testbed of its own: its story up to the verdict.

import { bits, element } from './format.js';

const panel = document.getElementById('lab');
const story = document.getElementById('lab-story');
const progress = document.getElementById('lab-progress');
const result = document.getElementById('lab-result');
const good = new Set(['held', 'reproduced', 'passed']);
const bad = new Set(['failed', 'not run']);
const kept = 300; // lines, as on the server
const still = matchMedia('(prefers-reduced-motion: reduce)');

export function show(lab) {
  const opens = panel.hidden && lab.name;
  panel.hidden = !lab.name;
  if (!lab.name) return;
  setText('lab-title', lab.title);
  setText('lab-name', lab.name);
  setText('lab-question', lab.question);
  progress.hidden = !lab.running;
  progress.textContent = [
    lab.phase && `Phase ${lab.phase}`, lab.trials && `trial ${lab.trial} of ${lab.trials}`, lab.what, lab.rate && bits(lab.rate),
  ].filter(Boolean).join(', ');
  const outcome = lab.running ? '' : `Result: ${lab.result || 'none'}`;
  if (result.textContent !== outcome) {
    result.textContent = outcome;
    result.className = colour(lab.result);
  }
  if (opens) panel.scrollIntoView({ block: 'nearest', behavior: still.matches ? 'auto' : 'smooth' });
}

// tell adds lines, and goes on showing the newest unless somebody has scrolled up to read.
export function tell(message) {
  const atEnd = message.begin || story.scrollHeight - story.scrollTop - story.clientHeight < 30;
  if (message.begin) story.replaceChildren();
  story.append(...message.lines.map(draw));
  while (story.children.length > kept) story.firstElementChild.remove();
  if (atEnd) story.scrollTop = story.scrollHeight;
}

function draw(line) {
  if (line.kind === 'phase') return element('div', { className: 'phase' }, element('h3', {}, line.name), element('p', {}, line.text));
  const parts = [];
  if (line.outcome) parts.push(element('b', { className: colour(line.outcome) }, line.outcome), ' ');
  if (line.name) parts.push(element('b', {}, line.name), ': ');
  return element('p', { className: line.kind }, ...parts, line.text);
}

function colour(outcome) {
  return good.has(outcome) ? 'good' : bad.has(outcome) ? 'bad' : '';
}

function setText(id, text) {
  const e = document.getElementById(id);
  if (e.textContent !== text) e.textContent = text;
}
