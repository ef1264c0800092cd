// Requests to the server. Those that change something carry the token from the page's address.

const token = new URLSearchParams(location.hash.slice(1)).get('token') || '';

export const mayChange = token !== '';

export async function post(what, change) {
  const answer = await fetch('api/' + what, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', 'X-Dsrlab-Token': token },
    body: JSON.stringify(change),
  });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let error = text.trim();
  try { error = JSON.parse(text).error; } catch { /* the guard answers in plain text */ }
  throw new Error(error);
}

export async function describe() {
  const answer = await fetch('api/testbed');
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

export async function picture(layout) {
  const answer = await fetch('topology.svg?layout=' + layout);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  const parsed = new DOMParser().parseFromString(await answer.text(), 'image/svg+xml');
  return document.importNode(parsed.documentElement, true);
}
