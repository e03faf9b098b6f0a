// The pictures: both beside each other or one over the other, at one zoom.
const view = { mode: "side", zoom: 1, x: 0.5, y: 0.5 }; // x, y: what is in the middle
const MOST_ZOOM = 16;
const FULL_FROM = 1.5; // from this zoom on all pixels are asked for
const stage = byId("stage");
const frames = { one: null, other: null };
const aligned = new Map();
let flicker = 0;

function showPair(lead, image) {
  Object.assign(view, { zoom: 1, x: 0.5, y: 0.5 });
  Object.assign(frames, { one: lead, other: image });
  draw();
}

function draw() {
  stage.className = view.mode;
  byId("slide").hidden = view.mode !== "slider";
  clearInterval(flicker);
  if (view.mode === "side") {
    fill(byId("one"), frames.one);
    fill(byId("other"), frames.other);
  } else overlay();
  layOut();
}

function fill(figure, image) {
  figure.className = role(image);
  figure.replaceChildren(frameOf(image, pictureElement(image, "")));
}

function frameOf(image, ...children) {
  const frame = element("div", { className: "frame" }, ...children);
  frame.shape = image.width / image.height || 1;
  return frame;
}

function pictureElement(image, kind) {
  const { src, reason } = pictureOf(image);
  if (!src) return missing(reason);
  const alt = `${role(image) === "stays" ? "stays" : "in question"}: ${printable(image.path)}`;
  const picture = element("img", { className: kind, alt, draggable: false, decoding: "async" });
  picture.onerror = () => picture.replaceWith(missing("cannot be shown: " + printable(image.path)));
  picture.onload = () => reshape(picture, image);
  picture.src = src;
  picture.image = image;
  return picture;
}

// A report may not know the size of a picture.
function reshape(picture, image) {
  picture.onload = null;
  if (image.width || !picture.parentElement?.shape) return;
  picture.parentElement.shape = picture.naturalWidth / picture.naturalHeight || 1;
  layOut();
}

const missing = (reason) => element("p", { className: "missing", textContent: reason });

function overlay() {
  const keeper = pictureElement(frames.one, "keeper"), copy = pictureElement(frames.other, "copy");
  const over = element("div", { className: "over" }, copy);
  const inner = element("div", { className: "inner" }, keeper, over);
  const line = element("div", { className: "line", hidden: view.mode !== "slider" });
  byId("overlay").replaceChildren(frameOf(frames.one, inner, line));
  const key = `${frames.one.number} ${frames.other.number}`;
  layOver(aligned.get(key) ?? STRETCHED);
  byId("alignment").textContent = aligned.has(key) ? alignmentText(aligned.get(key)) : "aligning …";
  if (!aligned.has(key)) alignLater(key, keeper, copy);
  if (view.mode === "flicker") startFlicker();
}

async function alignLater(key, keeper, copy) {
  try {
    await Promise.all([keeper.decode(), copy.decode()]);
  } catch {
    byId("alignment").textContent = "";
    return;
  }
  await new Promise((done) => setTimeout(done));
  const shape = (picture) => picture.naturalWidth / picture.naturalHeight;
  aligned.set(key, align(keeper, copy, shape(keeper), shape(copy)));
  if (!keeper.isConnected) return;
  byId("alignment").textContent = alignmentText(aligned.get(key));
  layOver(aligned.get(key) ?? STRETCHED);
}

function layOver(placing) {
  view.placing = placing;
  const copy = stage.querySelector("img.copy"), inner = stage.querySelector(".inner");
  if (!copy) return;
  const { sx, sy, tx, ty } = placing;
  const percent = (part) => `${100 * part}%`;
  Object.assign(copy.style, {
    left: percent(tx), top: percent(ty), width: percent(sx), height: percent(sy) });
  const cut = (part) => percent(Math.max(0, part));
  inner.style.clipPath = view.mode !== "difference" ? ""
    : `inset(${cut(ty)} ${cut(1 - tx - sx)} ${cut(1 - ty - sy)} ${cut(tx)})`;
  layOut();
}

const swap = () => stage.querySelector(".inner")?.classList.toggle("away");

function startFlicker() {
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) flicker = setInterval(swap, 600);
}

// Give each frame its place for the zoom and what is in the middle.
function layOut() {
  for (const frame of stage.querySelectorAll(".frame")) {
    const { clientWidth: width, clientHeight: height } = frame.parentElement;
    if (!width || !frame.shape) continue;
    const across = view.zoom * Math.min(width, height * frame.shape), down = across / frame.shape;
    Object.assign(frame.style, {
      width: `${across}px`, height: `${down}px`,
      left: `${width / 2 - view.x * across}px`, top: `${height / 2 - view.y * down}px` });
    turnCopy(frame, across, down);
  }
  byId("zoom-now").textContent = view.zoom === 1 ? "fit" : `${Math.round(100 * view.zoom)} %`;
  slide();
  if (view.zoom >= FULL_FROM) askForPixels();
}

function turnCopy(frame, across, down) {
  const copy = frame.querySelector("img.copy");
  if (!copy) return;
  const { turn: { d }, sx, sy } = view.placing;
  const shape = (across * sx) / (down * sy);
  // the inverse of what takes the picture's square to that of the other
  copy.style.transform = `matrix(${d[0]}, ${d[2] / shape}, ${d[1] * shape}, ${d[3]}, 0, 0)`;
}

function slide() {
  const over = stage.querySelector(".over"), line = stage.querySelector(".line");
  if (!over) return;
  const share = Number(byId("slide").querySelector("input").value);
  over.style.clipPath = view.mode === "slider" ? `inset(-100vmax -100vmax -100vmax ${share}%)` : "";
  line.style.left = `${share}%`;
}

function askForPixels() {
  for (const picture of stage.querySelectorAll("img")) {
    const src = picture.full ? null : fullPictureOf(picture.image);
    picture.full = true;
    if (!src || src === picture.src) continue;
    const whole = new Image();
    whole.onload = () => { picture.src = src; };
    whole.src = src;
  }
}

// Zoom about a point, given as shares of the picture.
function zoomTo(zoom, x = view.x, y = view.y) {
  const next = Math.min(MOST_ZOOM, Math.max(1, zoom));
  view.x = within(x + (view.x - x) * view.zoom / next, next);
  view.y = within(y + (view.y - y) * view.zoom / next, next);
  view.zoom = next;
  layOut();
}

const within = (share, zoom) => zoom === 1 ? 0.5 : Math.min(1, Math.max(0, share));

function pan(dx, dy) {
  if (view.zoom === 1) return;
  const frame = shownFrame();
  view.x = within(view.x - dx / frame.clientWidth, view.zoom);
  view.y = within(view.y - dy / frame.clientHeight, view.zoom);
  layOut();
}

const shownFrame = () =>
  [...stage.querySelectorAll(".frame")].find((frame) => frame.parentElement.clientWidth);

stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  const frame = event.target.closest(".frame") ?? shownFrame();
  const box = frame.getBoundingClientRect();
  zoomTo(view.zoom * 1.0015 ** -event.deltaY,
    (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
}, { passive: false });
stage.addEventListener("pointerdown", (event) => stage.setPointerCapture(event.pointerId));
stage.addEventListener("pointermove", (event) => {
  if (!event.buttons) return;
  if (view.mode === "slider" && view.zoom === 1) slideTo(event.clientX);
  else pan(event.movementX, event.movementY);
});
stage.addEventListener("click", () => view.mode === "flicker" && view.zoom === 1 && swap());
stage.addEventListener("dblclick", () => zoomTo(view.zoom === 1 ? 3 : 1));
byId("slide").addEventListener("input", slide);
const resized = new ResizeObserver(layOut);
resized.observe(stage);

function slideTo(x) {
  const box = shownFrame().getBoundingClientRect();
  byId("slide").querySelector("input").value = 100 * (x - box.left) / box.width;
  slide();
}
