// A table whose rows are chosen by words: each of them must be in a row. Shared by the tables and the flows.

import { element } from './format.js';

const status = document.getElementById('rows-status');

// filtered makes the filter of a table's section. of() says how many rows there are to choose from, told() what follows the count.
export function filtered(id, noun, of, told = () => '') {
  const input = document.getElementById(id + '-filter');
  const count = document.getElementById(id + '-count');
  const body = document.querySelector(`#${id} tbody`);
  const texts = new WeakMap(); // of rows, in lower case
  let words = [];

  function choose(row) {
    const text = texts.get(row);
    row.hidden = !words.every((w) => text.includes(w));
  }

  function update() {
    let shown = 0;
    for (const row of body.rows) if (!row.hidden) shown++;
    count.textContent = `${shown} of ${of()} ${noun} shown${told()}`;
    return count.textContent;
  }

  input.addEventListener('input', () => {
    words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) choose(row);
    status.textContent = update(); // said while somebody types, and not with every new row
  });

  return {
    body,
    update,
    // fill gives a row its cells. Words are looked for in what they show, and in more.
    fill(row, cells, more = '') {
      row.replaceChildren(...cells);
      texts.set(row, (cells.map((c) => c.textContent).join(' ') + ' ' + more).toLowerCase());
      choose(row);
    },
  };
}

export function newRow() {
  return element('tr', { role: 'row' });
}

// cell makes a table's cell; name is its column's, which is shown where there is no room for a head.
export function cell(name, ...children) {
  const td = element('td', { role: 'cell' }, ...children);
  td.dataset.name = name;
  return td;
}
