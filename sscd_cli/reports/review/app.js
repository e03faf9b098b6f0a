// What keys and buttons do.
const base = byId("base"), who = byId("who");
const pair = byId("pair");
let queue = []; // numbers of the copies to go through
let at = 0;

const ACTIONS = [
  { keys: ["k"], name: "Keep this", kind: "stays", help: "the right one stays and the left one goes",
    can: (image) => !leadOf(image).fixed && leadOf(image).hash !== image.hash, does: keepThis },
  { keys: ["r"], name: "Remove", kind: "goes", verdict: "same", help: "the right one goes" },
  { keys: ["b"], name: "Keep both", kind: "both", verdict: "keep_both",
    help: "copies, and both stay" },
  { keys: ["n"], name: "Not duplicates", kind: "both", verdict: "not_duplicate",
    help: "both stay, and the pair is never reported again" },
  { keys: ["o"], name: "Other shot", kind: "both", verdict: "other_shot",
    help: "the same scene taken twice; both stay" },
  { keys: ["s"], name: "Skip", help: "decide later", always: true, does: () => next() },
  { keys: ["Backspace", "u"], name: "Back", help: "take the last decision back", always: true, does: back },
];
const MORE_KEYS = [
  { keys: ["ArrowRight"], help: "next pair", does: () => step(1) },
  { keys: ["ArrowLeft"], help: "pair before", does: () => step(-1) },
  ...["side", "flicker", "slider", "difference"].map((mode, place) => ({ keys: [`${place + 1}`],
    help: { side: "side by side", flicker: "flicker: one, then the other", slider: "slider",
      difference: "difference, three times as bright" }[mode], does: () => setMode(mode) })),
  { keys: [" "], help: "flicker: the other one", does: () => view.mode === "flicker" ? swap() : setMode("flicker") },
  { keys: ["+", "="], help: "zoom in, both alike (or scroll, and drag)", does: () => zoomTo(view.zoom * 1.5) },
  { keys: ["-"], help: "zoom out", does: () => zoomTo(view.zoom / 1.5) },
  { keys: ["0"], help: "whole pictures", does: () => zoomTo(1) },
  { keys: ["m"], help: "many at once, by band or folder", does: showBulk },
  { keys: ["Ctrl+s"], help: header.serve ? "finish" : "save the decisions", does: save },
  { keys: ["?", "h"], help: "this help", does: () => byId("help").showModal() },
];
const KEY_TEXT = { Backspace: "⌫", "Ctrl+s": "Ctrl+S", ArrowRight: "→", ArrowLeft: "←", " ": "Space" };
const keyText = (key) => KEY_TEXT[key] ?? (key.length === 1 ? key.toUpperCase() : key);

const current = () => images[queue[at]];

// The numbers of the copies that a filter lets through, in no order.
function numbersIn(show) {
  const band = byId("band").value, text = byId("find").value.toLowerCase();
  return images.filter((image) => isCandidate(image)
    && (show === "all" || (show === "open") === !verdictOf(image))
    && (!band || image.band === band)
    && (!text || `${image.path}\n${leadOf(image).path}`.toLowerCase().includes(text)),
  ).map((image) => image.number);
}

const clusterOf = (number) => clusters[images[number].cluster];
const ORDERS = {
  size: (a, b) => clusterOf(a).size - clusterOf(b).size || clusterOf(a).link - clusterOf(b).link,
  weak: (a, b) => images[a].similarity - images[b].similarity,
  strong: (a, b) => images[b].similarity - images[a].similarity,
  bytes: (a, b) => images[b].bytes - images[a].bytes,
  path: (a, b) => images[a].path < images[b].path ? -1 : images[a].path > images[b].path ? 1 : 0,
};

// Go through the pairs of the filter, beginning with the one that was on show if it is there.
function restart(number = current()?.number) {
  const order = ORDERS[byId("sort").value];
  queue = numbersIn(byId("show").value).sort((a, b) => order(a, b) || a - b);
  at = Math.max(0, queue.indexOf(number));
  show();
}

function show() {
  const image = current(), counts = progress();
  pair.hidden = !image;
  byId("end").hidden = Boolean(image);
  byId("place").textContent = image ? placeText(image) : "";
  for (const button of byId("actions").children) arm(button, image);
  if (!image) {
    showEnd(counts);
    return;
  }
  const lead = leadOf(image);
  showPair(lead, image);
  captions(lead, image);
  strip(image);
  prefetch();
}

function placeText(image) {
  const cluster = clusters[image.cluster];
  const copies = membersOf(cluster).filter(isCandidate);
  const which = copies.length > 1 ? ` · copy ${copies.indexOf(image) + 1} of ${copies.length} in its cluster` : "";
  return `Pair ${numberText(at + 1)} of ${numberText(queue.length)}${which}`;
}

function arm(button, image) {
  const { verdict, always, can = () => true } = button.action;
  button.disabled = !always && !(image && can(image));
  if (verdict) button.setAttribute("aria-pressed", String(Boolean(image) && verdictOf(image) === verdict));
}

function prefetch() {
  const image = images[queue[at + 1]];
  for (const one of image ? [image, leadOf(image)] : []) {
    const { src } = pictureOf(one);
    if (src && !src.startsWith("data:")) new Image().src = src;
  }
}

// The next pair to decide, from here on and then from the start; past the end if there is none.
function next() {
  const all = byId("show").value !== "open";
  const wanted = (number) => isCandidate(images[number]) && (all || !verdictOf(images[number]));
  const ahead = queue.findIndex((number, place) => place > at && wanted(number));
  const found = ahead >= 0 || all ? ahead : queue.findIndex((number, place) => place !== at && wanted(number));
  if (found >= 0) at = found;
  else if (all || !current() || verdictOf(current())) at = queue.length;
  show();
  saveSoon();
}

function step(by) {
  at = Math.min(queue.length, Math.max(0, at + by));
  show();
  saveSoon();
}

function goTo(number) {
  const place = queue.indexOf(number);
  if (place >= 0) at = place;
  else queue.splice(at, 0, number);
  show();
}

function decide(verdict) {
  change({ set: [[current().number, verdict]] }, queue[at]);
  next();
}

// The pair stays where it was in the queue, the other way round.
function keepThis() {
  const image = current(), before = leadOf(image).number;
  change(insteadOf(image), image.number);
  queue[at] = before;
  if (isCandidate(image)) queue.splice(at + 1, 0, image.number);
  next();
}

function decideMany(numbers, verdict) {
  change({ set: numbers.map((number) => [number, verdict]) }, queue[at]);
  restart();
  if (current() && verdictOf(current())) next();
  showBulk();
}

function back() {
  const last = takeBack();
  if (!last) {
    step(-1);
    return;
  }
  const place = queue.findIndex((number) => last.set.some(([one]) => one === number));
  if (last.set.length > 2 || place < 0) restart(last.at);
  else {
    at = place;
    queue[at] = last.at;
    show();
  }
}

function act(action) {
  const image = current();
  if (action.kind && !(image && (action.can ?? (() => true))(image))) return;
  if (action.verdict) decide(action.verdict);
  else action.does();
}

function setMode(mode) {
  view.mode = mode;
  document.querySelector(`input[name=view][value=${mode}]`).checked = true;
  if (current()) draw();
}

function save() {
  if (header.serve) {
    store();
    send([]).then(() => unsent.length || finish());
    return;
  }
  const text = unwritten().map((line) => JSON.stringify(line) + "\n").join("");
  const link = element("a", { download: "decisions.jsonl",
    href: URL.createObjectURL(new Blob([text], { type: "application/jsonl" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  store();
}

async function finish() {
  await fetch("finish", { method: "POST" });
  document.removeEventListener("keydown", pressed);
  resized.disconnect();
  document.body.replaceChildren(element("main", { id: "end" },
    element("h2", { textContent: "Written. You may close this page." })));
}

const trouble = (text) => { byId("trouble").textContent = text; };

document.addEventListener("keydown", pressed);

function pressed(event) {
  const typing = event.target.closest("input:not([type=radio], [type=range]), select, dialog");
  const held = event.ctrlKey || event.metaKey;
  if (event.altKey) return;
  if (typing && !held && !(event.target.closest("#bulk") && event.key === "Backspace")) return;
  const onButton = event.target.closest("button, summary") && event.key === " ";
  const onRange = event.target.matches("input[type=range], input[type=radio]") && event.key.startsWith("Arrow");
  const key = (held ? "Ctrl+" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const action = [...ACTIONS, ...MORE_KEYS].find(({ keys }) => keys.includes(key));
  if (!action || onButton || onRange) return;
  event.preventDefault();
  act(action);
  if (byId("bulk").open) showBulk();
}

function buildActions() {
  for (const action of ACTIONS) {
    const button = element("button", { type: "button", className: action.kind ?? "", action,
      title: action.help, onclick: () => act(action) },
    element("span", { textContent: action.name }), element("kbd", { textContent: keyText(action.keys[0]) }));
    byId("actions").append(button);
  }
  byId("keys").replaceChildren(...[...ACTIONS, ...MORE_KEYS].map(({ keys, name, help }) => rowOf(
    element("td", {}, ...keys.map((key) => element("kbd", { textContent: keyText(key) }))),
    name ? `${name}: ${help}` : help)));
}

function wire() {
  for (const id of ["show", "band", "sort"]) byId(id).addEventListener("change", () => restart());
  byId("find").addEventListener("input", () => restart());
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("views").addEventListener("change", (event) => setMode(event.target.value));
  byId("zoom").addEventListener("click", ({ target }) =>
    target.value && zoomTo(view.zoom * (target.value === "in" ? 1.5 : 1 / 1.5)));
  byId("bulk-open").addEventListener("click", showBulk);
  byId("help-open").addEventListener("click", () => byId("help").showModal());
  byId("save").addEventListener("click", save);
  for (const field of [base, who]) field.addEventListener("change", () => { show(); store(); });
  addEventListener("pagehide", store);
}

function start() {
  base.value = header.base ?? "";
  byId("base-label").hidden = Boolean(header.serve);
  if (header.serve) byId("save").textContent = "Finish";
  document.body.classList.toggle("nothing", !images.some(isCandidate));
  for (const name of new Set(images.map((image) => image.band)))
    if (name) byId("band").append(element("option", { value: name, textContent: name }));
  const narrow = matchMedia("(max-width: 700px)");
  const fold = () => { byId("filters").open = !narrow.matches; };
  narrow.addEventListener("change", fold);
  fold();
  loadGiven();
  const number = loadStored();
  buildActions();
  about();
  wire();
  restart(number ?? undefined);
}

start();
