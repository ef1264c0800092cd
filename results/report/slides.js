(() => {
  const still = matchMedia('(prefers-reduced-motion: reduce)').matches;

  // The speaker's window shows the notes of the slide that the audience sees, the next slide, and how long the talk has taken.
  let speaker = null;
  let began = 0;
  const make = (tag, name, ...content) => {
    const element = speaker.document.createElement(tag);
    element.className = name;
    element.append(...content);
    return element;
  };
  const copy = (node) => speaker.document.importNode(node, true);
  const clock = () => {
    if (!speaker || speaker.closed) return;
    const seconds = Math.floor((Date.now() - began) / 1000);
    speaker.document.querySelector('.clock').textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  };
  const show = () => {
    if (!speaker || speaker.closed) return;
    const all = Reveal.getSlides();
    const at = all.indexOf(Reveal.getCurrentSlide());
    const next = all[at + 1];
    const notes = all[at].querySelector('aside.notes');
    speaker.document.querySelector('.place').textContent = `${at + 1} of ${all.length}: ${all[at].getAttribute('aria-label')}`;
    speaker.document.querySelector('.now').replaceChildren(...(notes ? [...notes.children].map(copy) : []));
    const preview = speaker.document.querySelector('.next');
    preview.replaceChildren();
    if (!next) return;
    preview.append(make('p', 'then', `Next: ${next.getAttribute('aria-label')}`), make('div', 'reveal', copy(next.querySelector('.sheet'))));
    preview.querySelectorAll('[id]').forEach((element) => element.removeAttribute('id'));
  };
  const open = () => {
    if (speaker && !speaker.closed) {
      speaker.focus();
      return;
    }
    speaker = window.open('', '', 'width=1100,height=760');
    if (!speaker) {
      alert('The browser did not open a window for the speaker’s notes: allow this page to open windows.');
      return;
    }
    began = Date.now();
    const page = speaker.document;
    page.title = `Speaker: ${document.title}`;
    page.documentElement.lang = 'en';
    page.head.replaceChildren(...[...document.querySelectorAll('style')].map(copy));
    page.body.className = 'speaker';
    page.body.replaceChildren(
      make('header', '', make('h1', 'place'), make('time', 'clock')), make('main', 'now'), make('aside', 'next'));
    page.addEventListener('keydown', (event) => {
      if (['ArrowRight', 'ArrowDown', 'PageDown', ' ', 'n'].includes(event.key)) Reveal.next();
      else if (['ArrowLeft', 'ArrowUp', 'PageUp', 'p'].includes(event.key)) Reveal.prev();
      else return;
      event.preventDefault();
    });
    show();
    clock();
  };
  setInterval(clock, 1000);

  const turn = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    root.dataset.theme = dark ? 'light' : 'dark';
  };

  Reveal.initialize({
    width: 1280, height: 720, margin: 0, minScale: 0.1, maxScale: 8, center: false, display: 'block',
    hash: true, slideNumber: 'c/t', showSlideNumber: 'speaker', // slides have their number
    controls: true, controlsTutorial: false, scrollActivationWidth: null,
    pdfSeparateFragments: false, transition: still ? 'none' : 'slide', transitionSpeed: 'fast', backgroundTransition: 'none',
  }).then(() => {
    Reveal.addKeyBinding({ keyCode: 83, key: 'S', description: 'Speaker’s notes' }, open);
    Reveal.addKeyBinding({ keyCode: 84, key: 'T', description: 'Light or dark' }, turn);
    Reveal.on('slidechanged', show);
  });
})();
