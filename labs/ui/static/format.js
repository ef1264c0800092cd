// Figures as people read them.

export function bits(rate) {
  if (rate >= 1e9) return +(rate / 1e9).toFixed(2) + ' Gbit/s';
  if (rate >= 1e6) return (rate / 1e6).toFixed(rate >= 1e8 ? 0 : 1) + ' Mbit/s';
  if (rate >= 1e3) return Math.round(rate / 1e3) + ' kbit/s';
  return '0';
}

export function limit(direction) {
  if (!direction.limitRate) return 'port not limited';
  return `port ${bits(direction.limitRate)}, ${direction.limit === 'police' ? 'policed' : 'shaped'}`;
}

// element makes an element with properties and children.
export function element(name, properties = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in e) e[key] = value; else e.setAttribute(key, value);
  }
  e.append(...children);
  return e;
}
